package terraform_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// before is what stacks of before held of the account.
const before = `
resource "aws_iam_role" "api_logs" {
  count              = 1
  name               = "api-logs"
  assume_role_policy = "{}"
}
resource "aws_iam_role_policy_attachment" "api_logs" {
  count      = 1
  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}
resource "aws_api_gateway_account" "logs" {
  count               = 1
  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn
}
resource "aws_iam_openid_connect_provider" "pipeline" {
  count          = 1
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
`

// TestAccountIsForgottenAndNotDestroyed: a stack of before that is applied anew holds nothing of the
// account any more, and has destroyed nothing of it.
func TestAccountIsForgottenAndNotDestroyed(t *testing.T) {
	tool, directory := terraform(t), t.TempDir()
	if err := copyModule(module, directory); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(tool.lock)
	if err != nil {
		t.Fatal(err)
	}
	old, removed := filepath.Join(directory, "old.tf"), filepath.Join(directory, "removed.tf")
	kept, err := os.ReadFile(removed)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(directory, ".terraform.lock.hcl"), lock)
	write(old, []byte(before))
	write(removed, nil)
	apply := func() (string, state) {
		t.Helper()
		out, err := tool.run(directory, "apply", "-auto-approve", "-input=false", "-no-color",
			"-var=functions_zip="+zip, "-var=region=eu-west-2")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(directory, "terraform.tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		return string(out), readState(t, text)
	}
	account := []string{"aws_api_gateway_account.logs", "aws_iam_role.api_logs",
		"aws_iam_role_policy_attachment.api_logs", "aws_iam_openid_connect_provider.pipeline"}
	_, made := apply()
	for _, address := range account {
		if !made.has(address) {
			t.Fatalf("%s was not made, so nothing is shown", address)
		}
	}
	write(removed, kept)
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	out, made := apply()
	for _, address := range account {
		if made.has(address) {
			t.Errorf("%s is still held", address)
		}
	}
	if !strings.Contains(out, " 0 destroyed.") {
		t.Errorf("something was destroyed: %s", out[max(0, len(out)-2000):])
	}
}
