package terraform_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// job is what is looked at of one of a workflow.
type job struct {
	Permissions map[string]string
	Environment string
	Condition   string `yaml:"if"`
	Needs       string
	Steps       []struct {
		Uses, Run string
		With      map[string]string
	}
}

// TestPipelineHasTheLeastRights: three jobs, each with the rights that it needs, no stored secret,
// and actions by commit, because a tag can be moved.
func TestPipelineHasTheLeastRights(t *testing.T) {
	text, err := os.ReadFile("../../deploy/pipeline/github-actions.yml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]job
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	if len(workflow.Permissions) != 0 || len(workflow.Jobs) != 3 {
		t.Errorf("%d jobs, and rights of all of them: %v", len(workflow.Jobs), workflow.Permissions)
	}
	for name, want := range map[string]job{
		"build": {Permissions: map[string]string{"contents": "read"}},
		"functions": {Permissions: map[string]string{"id-token": "write"}, Needs: "build",
			Condition: "github.event_name == 'push' && github.ref == 'refs/heads/main'"},
		"infrastructure": {Permissions: map[string]string{"contents": "read", "id-token": "write"}, Needs: "build",
			Environment: "production",
			Condition:   "github.event_name == 'workflow_dispatch' && github.ref == 'refs/heads/main'"},
	} {
		got := workflow.Jobs[name]
		if !equal(got.Permissions, want.Permissions) || got.Environment != want.Environment ||
			got.Condition != want.Condition || got.Needs != want.Needs || len(got.Steps) == 0 {
			t.Errorf("%s is %+v", name, got)
		}
		role := ""
		for _, step := range got.Steps {
			if step.Uses != "" &&
				!regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`).MatchString(step.Uses) {
				t.Errorf("%s uses %s, which can be moved", name, step.Uses)
			}
			if strings.Contains(step.Uses, "checkout@") &&
				step.With["persist-credentials"] != "false" {
				t.Errorf("%s leaves the token in the checkout", name)
			}
			role += step.With["role-to-assume"]
		}
		if wanted := map[string]string{"functions": "${{ vars.PILLARBOX_FUNCTIONS_ROLE }}",
			"infrastructure": "${{ vars.PILLARBOX_INFRASTRUCTURE_ROLE }}"}[name]; role != wanted {
			t.Errorf("%s takes on %q, want %q", name, role, wanted)
		}
	}
	if found := regexp.MustCompile(`secrets\.|AWS_SECRET|pull_request`).Find(text); found != nil {
		t.Errorf("there is %s in it", found)
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key := range a {
		if a[key] != b[key] {
			return false
		}
	}
	return true
}

// TestPipelineMayDoWhatItDoes: each command of the job that puts code in is allowed by its role.
func TestPipelineMayDoWhatItDoes(t *testing.T) {
	text, err := os.ReadFile("../../deploy/pipeline/github-actions.yml")
	if err != nil {
		t.Fatal(err)
	}
	allowed := find(
		t,
		source(t),
		`(?s)data "aws_iam_policy_document" "pipeline_functions" \{(.*?)\n\}`,
	)
	commands := regexp.MustCompile(`aws (lambda [a-z-]+(?: published[a-z-]+)?)`).
		FindAllStringSubmatch(string(text), -1)
	actions := map[string]string{"lambda update-function-code": "lambda:UpdateFunctionCode",
		"lambda wait published-version-active": "lambda:GetFunctionConfiguration", "lambda update-alias": "lambda:UpdateAlias"}
	if len(commands) != len(actions) {
		t.Errorf("commands are %v", commands)
	}
	for _, command := range commands {
		if action := actions[command[1]]; action == "" ||
			!strings.Contains(allowed, strconv.Quote(action)) {
			t.Errorf("%s needs %q, which the role has not", command[1], action)
		}
	}
}

// TestSubjectsOfTokens: whoever can name a repository or open a pull request must not be let in by
// a pattern that is too wide.
func TestSubjectsOfTokens(t *testing.T) {
	text := source(t)
	form := regexp.MustCompile(
		find(t, text, `(?s)variable "pipeline_subjects".*?can\(regex\("([^"]+)", subject`),
	)
	for subject, want := range map[string]bool{
		"repo:you/repo:ref:refs/heads/main":                       true,
		"repo:you/repo:environment:production":                    true,
		"repo:you/repo:ref:refs/tags/v*":                          true,
		"repo:you@123/repo@456:ref:refs/heads/main":               true,
		"project_path:group/sub/project:ref_type:branch:ref:main": true,
		"*": false, "repo:*": false, "repo:acme*": false, "repo:acme/*": false, "repo:acme/app*": false,
		"repo:acme/app": false, "repo:acme/app:*": false, "repo:acme/a?p:ref:refs/heads/main": false,
		"repo:acme/app:": false, "rep?:acme/app:ref:x": false, "repo:acme*:ref:refs/heads/main": false,
		"repo:acme:ref:refs/heads/main": false, "": false,
	} {
		if got := form.MatchString(subject); got != want {
			t.Errorf("%q is taken: %t, want %t", subject, got, want)
		}
	}
}

// TestAccountIsAStackOfItsOwn: what the module for an account makes, no stack makes, and the other
// way round.
func TestAccountIsAStackOfItsOwn(t *testing.T) {
	made, err := terraform(t).apply(t, module+"/account", map[string]any{"region": "eu-west-2",
		"pipeline_issuers": []string{"https://token.actions.githubusercontent.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]map[string]string{
		"aws_api_gateway_account.logs[0]": {"cloudwatch_role_arn": made.text("aws_iam_role.api_logs[0]", "arn")},
		"aws_iam_role.api_logs[0]":        {"name": "pillarbox-api-logs-eu-west-2"},
		"aws_iam_role_policy_attachment.api_logs[0]": {
			"role":       "pillarbox-api-logs-eu-west-2",
			"policy_arn": "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"},
		`aws_iam_openid_connect_provider.pipeline["https://token.actions.githubusercontent.com"]`: {
			"url": "https://token.actions.githubusercontent.com", "client_id_list": "sts.amazonaws.com"},
	} {
		for path, value := range want {
			if got := made.text(address, path); got != value || got == "" {
				t.Errorf("%s: %s is %q, want %q", address, path, got, value)
			}
		}
	}
	kinds := []string{}
	for address := range made {
		kind, _, _ := strings.Cut(address, ".")
		kinds = append(kinds, kind)
	}
	for _, kind := range []string{"aws_api_gateway_account", "aws_iam_openid_connect_provider"} {
		if !slices.Contains(kinds, kind) || strings.Contains(source(t), `resource "`+kind+`"`) {
			t.Errorf("%s is not the account's alone", kind)
		}
	}
}
