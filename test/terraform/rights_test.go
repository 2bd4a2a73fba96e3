package terraform_test

import (
	"regexp"
	"slices"
	"strings"
)

// statementsOf are the statements of a policy.
func statementsOf(s state, document string) []statement {
	entries, _ := s[document]["statement"].([]any)
	list := make([]statement, len(entries))
	for i, entry := range entries {
		list[i] = readStatement(entry)
	}
	return list
}

// Resources of policies that end in a pattern, and why each has to. Everything else is named in
// full: a name that begins with the name of this stack may be one of another stack.
var patterns = []string{
	// objects of the bucket
	`^arn:aws:s3:::pillarbox-dead-letters-[0-9]+-[a-z0-9-]+/`,
	// a slash ends the name
	`^arn:aws:s3:::state/pillarbox/\*$`,
	// backups and indexes of the table
	`^arn:aws:dynamodb:[a-z0-9-]+:[0-9]+:table/pillarbox-events\.?2?/`,
	// a dot ends the name
	`^arn:aws:dynamodb:[a-z0-9-]+:[0-9]+:table/pillarbox-events\.\*$`,
	// versions and aliases
	`^arn:aws:lambda:[a-z0-9-]+:[0-9]+:function:pillarbox-[a-z]+:\*$`,
	// streams of a group
	`^arn:aws:logs:[a-z0-9-]+:[0-9]+:log-group:[^*]+:\*$`,
	// what is below it
	`^arn:aws:apigateway:eu-west-2::/(restapis|usageplans|domainnames)/[^*]+/\*$`,
	// methods of the API
	`^arn:aws:execute-api:eu-west-2:[0-9]+:pillarbox/\*$`,
	// reads only
	`^arn:aws:route53:::change/\*$`,
	// rules of AWS
	`^arn:aws:wafv2:[a-z0-9-]+:[0-9]+:(regional|global)/managedruleset/\*$`,
	// by tag and action
	`^arn:aws:ec2:eu-west-2:[0-9]+:security-group-rule/\*$`,
	// by tag
	`^arn:aws:application-autoscaling:eu-west-2:[0-9]+:scalable-target/\*$`,
	// ids that nobody knows before
	`^arn:aws:backup:eu-west-2:[0-9]+:recovery-point:\*$`,
}

// Actions that AWS lets nobody limit to a resource.
var unlimited = []string{
	"application-autoscaling:Describe", "backup:DescribeRestoreJob",
	"cognito-idp:DescribeUserPoolDomain", "ec2:Describe*", "kms:ListAliases",
	"lambda:ListEventSourceMappings", "logs:DescribeLogGroups", "sns:GetSubscriptionAttributes",
	"xray:PutT", "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface",
	"ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
	"ec2:UnassignPrivateIpAddresses",
}

// never are actions with which a pipeline would make itself more than it is, or take what is not
// its own.
var never = []string{
	"iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:CreateRole",
	"iam:DeleteRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy",
	"iam:PutRolePermissionsBoundary", "kms:PutKeyPolicy", "s3:PutBucketPolicy", "s3:GetObject",
	"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "sqs:ReceiveMessage",
	"lambda:AddPermission", "logs:PutResourcePolicy", "apigateway:SetWebACL", "iam:*", "kms:*",
	"*",
}

// policiesNameInFull looks at what identities may do. Policies of resources are on themselves.
func policiesNameInFull(s state, say func(string, ...any)) {
	for _, address := range s.of("data.aws_iam_policy_document") {
		name := strings.TrimPrefix(address, "data.aws_iam_policy_document.")
		for _, read := range statementsOf(s, address) {
			if read.effect == "Deny" || len(read.principals) > 0 {
				continue
			}
			reachIsNamed(name, read, say)
			if strings.HasPrefix(name, "infrastructure_") || name == "pipeline_functions" {
				pipelineIsBound(name, read, say)
			}
		}
	}
}

func reachIsNamed(name string, read statement, say func(string, ...any)) {
	for _, resource := range read.resources {
		switch {
		case !strings.ContainsAny(resource, "*?"):
		case resource == "*":
			for _, action := range read.actions {
				if !slices.ContainsFunc(unlimited, func(prefix string) bool {
					return strings.HasPrefix(action, prefix)
				}) {
					say("%s: %s is allowed on everything", name, action)
				}
			}
		case !slices.ContainsFunc(patterns, func(pattern string) bool {
			return regexp.MustCompile(pattern).MatchString(resource)
		}):
			say("%s reaches %s", name, resource)
		}
	}
}

// bounds are the beginnings of conditions without which a pipeline must not have an action.
var bounds = map[string]string{
	"iam:PutRolePolicy": "StringEquals iam:PermissionsBoundary " +
		"arn:aws:iam::123456789012:policy/pillarbox/pillarbox-boundary",
	"ec2:CreateTags": "StringEquals ec2:CreateAction ",
	"route53:ChangeResourceRecordSets": "ForAllValues:StringEquals " +
		"route53:ChangeResourceRecordSetsNormalizedRecordNames ",
	"kms:CreateGrant":     "StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com",
	"kms:Decrypt":         "StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com",
	"kms:Encrypt":         "StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com",
	"kms:GenerateDataKey": "StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com",
}

func pipelineIsBound(name string, read statement, say func(string, ...any)) {
	onState := slices.ContainsFunc(read.resources, func(resource string) bool {
		return strings.HasPrefix(resource, "arn:aws:s3:::state")
	})
	for _, action := range read.actions {
		if slices.Contains(never, action) && !onState {
			say("%s may %s", name, action)
		}
		bound := bounds[action]
		if bound != "" && !slices.ContainsFunc(read.conditions, func(condition string) bool {
			return strings.HasPrefix(condition, bound)
		}) {
			say("%s: %s is not bound by %s", name, action, bound)
		}
	}
}

// Quotas of IAM, in characters without white space, and how long a name of a stack may be.
const (
	managedPolicyLimit = 6144
	inlinePolicyLimit  = 10240
	longestName        = "a-stack-of-20-letter"
)

func policiesFit(s state, say func(string, ...any)) {
	for _, address := range s.of("data.aws_iam_policy_document") {
		list := statementsOf(s, address)
		limit := managedPolicyLimit
		if strings.Contains(address, ".function[") || strings.Contains(address, ".key") {
			limit = inlinePolicyLimit
		}
		size := len(strings.ReplaceAll(document(list), "pillarbox", longestName))
		if size > limit || len(list) == 0 {
			say(
				"%s has %d statements and up to %d characters, %d fit",
				address,
				len(list),
				size,
				limit,
			)
		}
	}
}

func rolesAreTrusted(s state, say func(string, ...any)) {
	trusted := map[string]string{
		"function": "Service:lambda.amazonaws.com", "canary": "Service:lambda.amazonaws.com",
		"canary_schedule": "Service:scheduler.amazonaws.com", "backup": "Service:backup.amazonaws.com",
		"direct":   "Service:apigateway.amazonaws.com",
		"people":   "AWS:arn:aws:iam::123456789012:user/alice",
		"pipeline": "Federated:" + provider,
	}
	byJSON := map[string]string{}
	for _, address := range s.of("data.aws_iam_policy_document") {
		if strings.Contains(address, "_trust") {
			byJSON[s.text(address, "json")] = address
		}
	}
	for _, address := range s.of("aws_iam_role") {
		name, _, _ := strings.Cut(strings.TrimPrefix(address, "aws_iam_role."), "[")
		document := byJSON[s.text(address, "assume_role_policy")]
		entries, _ := s[document]["statement"].([]any)
		if len(entries) != 1 {
			say("%s is taken on by %d statements of %q", address, len(entries), document)
			continue
		}
		read := readStatement(entries[0])
		if strings.Join(read.principals, " ") != trusted[name] {
			say("%s is taken on by %v, want %s", address, read.principals, trusted[name])
		}
		if name == "people" &&
			!slices.Contains(read.conditions, "Bool aws:MultiFactorAuthPresent true") {
			say("%s asks for no second factor: %v", address, read.conditions)
		}
		above := name == "people" || name == "pipeline"
		if boundary := s.text(address, "permissions_boundary"); (boundary == "") != above {
			say("%s stands below %q", address, boundary)
		}
	}
	for _, address := range s.of("aws_lambda_function") {
		want := "arn:aws:iam::123456789012:role/" + s.text(address, "function_name")
		if got := s.text(address, "role"); got != want {
			say("%s has the role %s, want %s", address, got, want)
		}
	}
}
