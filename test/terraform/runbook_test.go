package terraform_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// needs are the permissions that each command of the runbooks asks for.
var needs = map[string][]string{
	"lambda list-event-source-mappings":  {"lambda:ListEventSourceMappings"},
	"lambda update-event-source-mapping": {"lambda:UpdateEventSourceMapping"},
	"dynamodb restore-table-to-point-in-time": append(
		[]string{"dynamodb:RestoreTableToPointInTime", "kms:CreateGrant", "kms:DescribeKey"},
		fills...),
	"dynamodb wait":                               {"dynamodb:DescribeTable"},
	"dynamodb delete-table":                       {"dynamodb:DeleteTable"},
	"backup list-recovery-points-by-backup-vault": {"backup:ListRecoveryPointsByBackupVault"},
	"backup get-recovery-point-restore-metadata":  {"backup:GetRecoveryPointRestoreMetadata"},
	"backup start-restore-job":                    {"backup:StartRestoreJob", "iam:PassRole"},
	"backup describe-restore-job":                 {"backup:DescribeRestoreJob"},
	"s3api list-object-versions":                  {"s3:ListBucketVersions"},
	"s3api delete-object":                         {"s3:DeleteObjectVersion"},
	"kms cancel-key-deletion":                     {"kms:CancelKeyDeletion"},
	"kms enable-key":                              {"kms:EnableKey"},
	"logs tail":                                   {"logs:FilterLogEvents"},
}

// fills are what DynamoDB asks for on a table that is restored, of who restores it.
var fills = []string{
	"dynamodb:BatchWriteItem",
	"dynamodb:DeleteItem",
	"dynamodb:GetItem",
	"dynamodb:PutItem",
	"dynamodb:Query",
	"dynamodb:Scan",
	"dynamodb:UpdateItem",
	"kms:Decrypt",
	"kms:GenerateDataKey",
}

// besides are permissions to restore that no command names, and why they are there.
var besides = map[string]string{
	"dynamodb:DescribeContinuousBackups": "says to which second a table can be restored",
	"dynamodb:BatchGetItem":              "pillarbox events reads the new table",
	"s3:GetObjectVersion":                "a look at what comes back",
	"backup:DescribeBackupVault":         "a look at the vault",
	"backup:DescribeRecoveryPoint":       "a look at a backup",
}

// TestRunbookAndPoliciesAgree: what the runbooks tell to do, operate or restore allows, and restore
// allows nothing that no runbook does.
func TestRunbookAndPoliciesAgree(t *testing.T) {
	text, err := os.ReadFile("../../docs/AWS.md")
	if err != nil {
		t.Fatal(err)
	}
	operate, restore := pictureOf(t, "operate"), pictureOf(t, "restore_by_people")
	wanted := map[string]bool{}
	commands := regexp.MustCompile(`\baws ([a-z0-9]+ [a-z-]+)`).
		FindAllStringSubmatch(string(text), -1)
	for _, command := range commands {
		actions, known := needs[command[1]]
		if !known {
			t.Errorf("aws %s is in a runbook, and it is not written down what it needs", command[1])
		}
		for _, action := range actions {
			wanted[action] = true
			if !slices.Contains(operate, action) && !slices.Contains(restore, action) {
				t.Errorf(
					"aws %s needs %s, which neither operate nor restore has",
					command[1],
					action,
				)
			}
		}
	}
	if len(commands) < 12 || len(restore) < 15 {
		t.Errorf("%d commands and %d actions", len(commands), len(restore))
	}
	for _, action := range restore {
		if !wanted[action] && besides[action] == "" {
			t.Errorf("restore allows %s, which no runbook does", action)
		}
	}
}

// pictureOf are the actions of a policy in the picture of what is made with every option.
func pictureOf(t *testing.T, policy string) (actions []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "options", "policies.txt"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + policy + `: Allow (.*?) on `)
	for _, found := range line.FindAllStringSubmatch(string(text), -1) {
		actions = append(actions, strings.Fields(found[1])...)
	}
	return actions
}
