package terraform_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// parliamentVariable names the program parliament, which knows the actions, resources and
// conditions of every service by AWS's documents. make second-opinions sets it.
const parliamentVariable = "PILLARBOX_PARLIAMENT"

// finding is what parliament says of a policy.
type finding struct {
	Issue, Title, Severity string
	Detail                 any
	Location               struct{ Filepath string }
}

// exceptions are findings that stay, by the policy, the issue and the detail, with the reason.
var exceptions = []struct{ policy, issue, detail, why string }{
	{"boundary|function.*", "RESOURCE_STAR", `"ec2:AssignPrivateIpAddresses"`,
		"Lambda asks for these on everything, and the code in a function is denied them"},
	{"function.*", "UNKNOWN_CONDITION_FOR_ACTION", "lambda:SourceFunctionArn",
		"Lambda adds the key to every call of a function"},
	{"infrastructure_network", "RESOURCE_STAR", `"ec2:Describe`, "Describe knows no resource"},
	{"infrastructure_network", "RESOURCE_MISMATCH", "SecurityGroup",
		"group and rule are asked about both, and stand in two statements"},
	{"infrastructure_open", "RESOURCE_MISMATCH", "route53:ChangeTagsForResource",
		"a health check has tags, and the zone's are not touched"},
	{"infrastructure_run", "RESOURCE_MISMATCH", `"lambda:GetAccountSettings"`,
		"lambda:Get* is meant for functions, and has parts for other things"},
	{"infrastructure_roles", "MISMATCHED_TYPE_BUT_USABLE", "StringEquals",
		"AWS's own examples compare the boundary so, and nothing in it is a pattern"},
	// what parliament says of a whole policy it says of the last file that it has read
	{".*", "RESOURCE_POLICY_PRIVILEGE_ESCALATION", "s3:PutLifecycleConfiguration",
		"a rule could expire letters; versions keep them, and the change is reviewed"},
	// the stand-in makes up what AWS makes of an id
	{"infrastructure_watch", "RESOURCE_MISMATCH", `"xray:GetGroup"`, madeUp},
	{"infrastructure_open", "RESOURCE_MISMATCH", `"acm:AddTagsToCertificate"`, madeUp},
	{"infrastructure_open", "RESOURCE_MISMATCH", `"cloudfront:GetDistribution"`, madeUp},
	{"infrastructure_open", "RESOURCE_MISMATCH", `"cognito-idp:`, madeUp},
	{"infrastructure_keep|restore_by_people|boundary|backup", "RESOURCE_MISMATCH",
		`"backup:`, madeUp},
}

const madeUp = "the ARN is one of the stand-in's own making"

// TestParliamentAgrees shows it every policy of identities, in every scenario. Those of resources it
// does not know: it has no principals.
func TestParliamentAgrees(t *testing.T) {
	parliament := os.Getenv(parliamentVariable)
	if parliament == "" {
		t.Skipf("%s is not set: make second-opinions sets it", parliamentVariable)
	}
	used := map[int]bool{}
	for _, sc := range scenarios {
		made, err := terraform(t).apply(t, module, sc.variables, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range judged(t, parliament, made) {
			name := strings.TrimSuffix(filepath.Base(found.Location.Filepath), ".json")
			detail, err := json.Marshal(found.Detail)
			if err != nil {
				t.Fatal(err)
			}
			excepted := false
			for i, e := range exceptions {
				if regexp.MustCompile("^("+e.policy+")$").MatchString(name) && e.issue == found.Issue &&
					strings.Contains(string(detail), e.detail) {
					excepted, used[i] = true, true
				}
			}
			if !excepted {
				t.Errorf("%s: %s (%s) in %s: %s", sc.name, found.Title, found.Issue, name, detail)
			}
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			t.Errorf("nothing is excepted by %+v", e)
		}
	}
}

// judged are the findings in the policies of a state.
func judged(t *testing.T, parliament string, s state) (findings []finding) {
	t.Helper()
	directory, policies := t.TempDir(), 0
	for _, address := range s.of("data.aws_iam_policy_document") {
		list := statementsOf(s, address)
		if len(list) == 0 || len(list[0].principals) > 0 {
			continue
		}
		name := strings.NewReplacer(`["`, ".", `"]`, "", "[0]", "").Replace(
			strings.TrimPrefix(address, "data.aws_iam_policy_document."))
		text := strings.ReplaceAll(document(list), `,"Sid":"`+strings.Repeat("s", 30)+`"`, "")
		if err := os.WriteFile(filepath.Join(directory, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		policies++
	}
	if policies < 5 {
		t.Fatalf("%d policies", policies)
	}
	command := exec.Command(parliament, "--directory", directory, "--json")
	var said, problems bytes.Buffer
	command.Stdout, command.Stderr = &said, &problems
	if err := command.Run(); err != nil && said.Len() == 0 { // it fails where it finds something
		t.Fatalf("parliament: %v\n%s", err, problems.String())
	}
	for line := range strings.SplitSeq(strings.TrimSpace(said.String()), "\n") {
		var found finding
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &found); err != nil {
			t.Fatalf("parliament says %q: %v", line, err)
		}
		findings = append(findings, found)
	}
	return findings
}
