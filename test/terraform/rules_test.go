package terraform_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	dynamodbengine "pillarbox/internal/engine/dynamodb"
)

// rule is something that must be true of every stack, whatever is chosen. It says what is not.
type rule struct {
	name  string
	check func(s state, say func(string, ...any))
}

var rules = []rule{
	{"each function has the queue of its work", functionsHaveTheirQueues},
	{"accept has the rules, secrets and keys of its sources", acceptHasItsSources},
	{"each is called by whom it should be", callersAndCalled},
	{"every metric is one that AWS documents", metricsAreDocumented},
	{"every alarm rings in its direction and tells the topic of its priority", alarmsRing},
	{"who writes to an encrypted topic or queue has the key", publishersHaveTheKey},
	{"a server's fault keeps its status", faultsKeepTheirStatus},
	{"clients never stop the canary", clientsNeverStopTheCanary},
	{"what runs by the clock runs as often as chosen", clocksAreRight},
	{"policies name what they reach in full", policiesNameInFull},
	{"policies fit", policiesFit},
	{"nothing is set for the whole account", nothingIsAccountWide},
	{"everything bears the tags of the stack", everythingIsTagged},
	{"backups that fail are told", failedBackupsAreTold},
	{"a role is taken on by whom it should be", rolesAreTrusted},
	{"everything is encrypted with the key", everythingIsEncrypted},
	{"a function may what it calls, and no more", functionsMayWhatTheyCall},
	{"a server may what it calls, and no more", serverMayWhatItCalls},
	{"the ceiling is no higher than what is below it", ceilingIsNoHigher},
}

const (
	eventsURL = "https://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-events"
	deadURL   = "https://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-dead-letters"
	eventsARN = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-events"
	deadARN   = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-dead-letters"
)

func functionsHaveTheirQueues(s state, say func(string, ...any)) {
	for role, want := range map[string][2]string{
		"accept": {eventsURL, ""}, "deliver": {eventsURL, deadURL}, "deadletter": {"", ""},
	} {
		address := fmt.Sprintf("aws_lambda_function.role[%q]", role)
		if s[address] == nil {
			continue
		}
		for i, variable := range []string{
			"PILLARBOX_SQS_QUEUE_URL", "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL",
		} {
			if got := s.text(address, "environment", "variables", variable); got != want[i] {
				say("%s of %s is %q, want %q", variable, role, got, want[i])
			}
		}
		if got := s.text(address, "environment", "variables", "PILLARBOX_ROLE"); got != role {
			say("PILLARBOX_ROLE of %s is %q", role, got)
		}
	}
	table := s.text("aws_dynamodb_table.events", "name")
	if got := s.text(`aws_lambda_function.role["deliver"]`, "environment", "variables",
		"PILLARBOX_DYNAMODB_TABLE"); got != table {
		say("deliver writes to %s, and the table is %s", got, table)
	}
}

// acceptHasItsSources: what the function is told of is what is made, and the table of idempotency keys
// is as the engine wants it.
func acceptHasItsSources(s state, say func(string, ...any)) {
	const accept = `aws_lambda_function.role["accept"]`
	const table, secret = "aws_dynamodb_table.idempotency[0]", "aws_secretsmanager_secret.sources[0]"
	told := func(variable string) string {
		return s.text(accept, "environment", "variables", variable)
	}
	for variable, want := range map[string]string{
		"PILLARBOX_IDEMPOTENCY_TABLE": s.text(table, "name"),
		"PILLARBOX_SECRETS":           s.text(secret, "arn"),
	} {
		if s[accept] != nil && told(variable) != want {
			say("%s is %q, want %q", variable, told(variable), want)
		}
	}
	if s.has("aws_secretsmanager_secret.sources") {
		bucket := s.text("aws_s3_bucket.dead_letters", "bucket")
		if told("PILLARBOX_SOURCES_FILE") != "sources.yaml" || told("PILLARBOX_SOURCE_PATH") != "" ||
			told("PILLARBOX_API_KEYS_BUCKET") != bucket || told("PILLARBOX_API_KEYS_OBJECT") != "api-keys.json" {
			say("accept is told of the file %q and of keys in %q", told("PILLARBOX_SOURCES_FILE"), told("PILLARBOX_API_KEYS_BUCKET"))
		}
	}
	for _, kind := range []string{"aws_secretsmanager_secret_version", "aws_ssm_parameter"} {
		for _, address := range s.of(kind) {
			say("%s puts a secret into the state", address)
		}
	}
	if !s.has("aws_dynamodb_table.idempotency") {
		return
	}
	if s.text(table, "hash_key") != dynamodbengine.KeysPartitionKey || s.text(table, "range_key") != "" ||
		s.text(table, "ttl", "attribute_name") != dynamodbengine.KeysTimeToLive || s.text(table, "ttl", "enabled") != "true" ||
		s.text(table, "point_in_time_recovery", "enabled") != "true" {
		say("the table of idempotency keys has the key %q and forgets by %q", s.text(table, "hash_key"), s.text(table, "ttl", "attribute_name"))
	}
}

// alias is how the stand-in writes the ARN of an alias.
func alias(role string) string {
	return "arn:aws:stub:eu-west-2:123456789012:lambda_alias/pillarbox-" + role
}

// callersAndCalled: the door, the queues and the clock each call the function that they should.
func callersAndCalled(s state, say func(string, ...any)) {
	doorCalls(s, say)
	queuesFeed(s, say)
	clockCalls(s, say)
}

func doorCalls(s state, say func(string, ...any)) {
	stage := s.text("aws_api_gateway_stage.live", "stage_name")
	for method, door := range map[string]string{"GET": "GET/app", "POST": "POST/app", "ANY": "*/*"} {
		integration := fmt.Sprintf("aws_api_gateway_integration.accept[%q]", method)
		if s[integration] == nil {
			continue
		}
		called := "/" + alias("accept") + "/invocations"
		if uri := s.text(integration, "uri"); !strings.HasSuffix(uri, called) {
			say("%s /app calls %s", method, uri)
		}
		permission := fmt.Sprintf("aws_lambda_permission.accept[%q]", method)
		got := []string{s.text(permission, "function_name"), s.text(permission, "qualifier"),
			s.text(permission, "principal"), s.text(permission, "source_arn")}
		want := []string{"pillarbox-accept", "live", "apigateway.amazonaws.com",
			"arn:aws:execute-api:eu-west-2:123456789012:pillarbox/" + stage + "/" + door}
		if !slices.Equal(got, want) {
			say("permission for %s is %v, want %v", method, got, want)
		}
	}
	if s.has("aws_api_gateway_integration.queue") {
		uri := s.text("aws_api_gateway_integration.queue[0]", "uri")
		if !strings.HasSuffix(uri, ":sqs:path/123456789012/pillarbox-events") {
			say("POST /app sends to %s", uri)
		}
	}
	for _, address := range s.of("aws_lambda_alias") {
		role := strings.TrimSuffix(strings.TrimPrefix(address, `aws_lambda_alias.live["`), `"]`)
		if got := s.text(address, "function_name"); got != "pillarbox-"+role {
			say("the alias of %s is one of %s", role, got)
		}
	}
}

func queuesFeed(s state, say func(string, ...any)) {
	for name, want := range map[string][2]string{
		"deliver":    {eventsARN, alias("deliver")},
		"deadletter": {deadARN, alias("deadletter")},
	} {
		mapping := "aws_lambda_event_source_mapping." + name
		got := [2]string{s.text(mapping, "event_source_arn"), s.text(mapping, "function_name")}
		if enabled := s.text(mapping, "enabled"); got != want || enabled == "false" {
			say("%s is fed by %v, enabled %q, want %v", name, got, enabled, want)
		}
		if answers := s.text(mapping, "function_response_types"); answers != "ReportBatchItemFailures" {
			say("%s answers %q", name, answers)
		}
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
		Count  int    `json:"maxReceiveCount"`
	}
	text := s.text("aws_sqs_queue.events", "redrive_policy")
	if err := json.Unmarshal([]byte(text), &policy); err != nil || policy.Target != deadARN ||
		policy.Count != 20 {
		say("events die into %+v, %v", policy, err)
	}
}

func clockCalls(s state, say func(string, ...any)) {
	if !s.has("aws_scheduler_schedule.canary") {
		return
	}
	const want = "arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-canary"
	if got := s.text("aws_scheduler_schedule.canary[0]", "target", "arn"); got != want {
		say("the schedule runs %s", got)
	}
	canary := func(variable string) string {
		return s.text("aws_lambda_function.canary[0]", "environment", "variables", variable)
	}
	table := s.text("aws_dynamodb_table.events", "name")
	if canary("TABLE") != table || !strings.HasSuffix(canary("URL"), "/app") {
		say("the canary posts to %s and reads %s", canary("URL"), canary("TABLE"))
	}
}

// faultsKeepTheirStatus: API Gateway counts an answer with a changed status as 4XXError, so that
// the alarm on 5XXError would not see it.
func faultsKeepTheirStatus(s state, say func(string, ...any)) {
	clients := []string{"MISSING_AUTHENTICATION_TOKEN"}
	for _, address := range s.of("aws_api_gateway_gateway_response") {
		kind := s.text(address, "response_type")
		if status := s.text(address, "status_code"); status != "" &&
			!slices.Contains(clients, kind) {
			say("the status of %s is changed to %s", kind, status)
		}
		var body struct{ Title string }
		text := s.text(address, "response_templates", "application/json")
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			say("%s: %v", kind, err)
		}
		unknown := slices.Contains(
			[]string{
				"DEFAULT_5XX",
				"INTEGRATION_FAILURE",
				"INTEGRATION_TIMEOUT",
				"API_CONFIGURATION_ERROR",
			},
			kind,
		)
		if unknown != strings.HasPrefix(body.Title, "not known whether accepted; ") {
			say("%s says %q", kind, body.Title)
		}
	}
}

func clientsNeverStopTheCanary(s state, say func(string, ...any)) {
	if !s.has("aws_lambda_function.canary") {
		return
	}
	// The stand-in makes up no value of a key, so that only the variable is seen.
	canary := map[string]any(s["aws_lambda_function.canary[0]"])
	set, _ := walk(canary, []string{"environment", "variables"}).(map[string]any)
	_, told := set["API_KEY"]
	if !s.has("aws_api_gateway_api_key.client") {
		if told {
			say("the canary has a key that nobody asks for")
		}
		return
	}
	if !s.has("aws_api_gateway_api_key.canary") || !told {
		say("the canary has no key of its own")
	}
	plan := ""
	for _, address := range s.of("aws_api_gateway_usage_plan_key") {
		if s.text(address, "key_id") == s.text("aws_api_gateway_api_key.canary[0]", "id") {
			plan = s.text(address, "usage_plan_id")
		}
	}
	for _, address := range s.of("aws_api_gateway_usage_plan") {
		if s.text(address, "id") == plan &&
			(s.text(address, "quota_settings") != "" || s.text(address, "throttle_settings") != "") {
			say("the plan of the canary has a limit: %s", address)
		}
	}
	if plan == "" {
		say("the key of the canary is in no plan")
	}
}

var rate = regexp.MustCompile(`^rate\(([0-9]+) minutes?\)$`)

func clocksAreRight(s state, say func(string, ...any)) {
	if s.has("aws_scheduler_schedule.canary") {
		expression := s.text("aws_scheduler_schedule.canary[0]", "schedule_expression")
		found := rate.FindStringSubmatch(expression)
		minutes := 0
		if found != nil {
			minutes, _ = strconv.Atoi(found[1])
		}
		for _, name := range []string{"canary-errors", "canary-missing"} {
			period := s.text(fmt.Sprintf("aws_cloudwatch_metric_alarm.metric[%q]", name), "period")
			if period != strconv.Itoa(60*minutes) {
				say("the canary runs at %s, and %s looks every %s s", expression, name, period)
			}
		}
		if s.text("aws_scheduler_schedule.canary[0]", "state") == "DISABLED" {
			say("the canary is switched off")
		}
	}
	for _, address := range s.of("aws_backup_plan") {
		list, _ := s[address]["rule"].([]any)
		daily := false
		for _, entry := range list {
			daily = daily || shown(entry.(map[string]any)["schedule"]) == "cron(0 3 * * ? *)"
		}
		if !daily {
			say("no backup is made every day")
		}
	}
}

// accountWide are the types of resources of which an account has one, also by region.
var accountWide = []string{
	"aws_api_gateway_account", "aws_iam_openid_connect_provider",
	"aws_s3_account_public_access_block", "aws_xray_encryption_config",
	"aws_backup_region_settings", "aws_backup_global_settings", "aws_iam_account_alias",
	"aws_iam_account_password_policy", "aws_ebs_encryption_by_default",
	"aws_iam_service_linked_role", "aws_cloudwatch_log_resource_policy",
	"aws_lambda_code_signing_config", "aws_sns_sms_preferences",
	"aws_cloudwatch_log_account_policy", "aws_xray_sampling_rule",
}

func nothingIsAccountWide(s state, say func(string, ...any)) {
	for _, kind := range accountWide {
		for _, address := range s.of(kind) {
			say("%s is one for the account", address)
		}
	}
}

func everythingIsTagged(s state, say func(string, ...any)) {
	key := "Application"
	if s.text("aws_sqs_queue.events", "tags_all", "Stack") != "" {
		key = "Stack"
	}
	tagged := 0
	for address, resource := range s {
		tags, there := resource["tags_all"].(map[string]any)
		if !there || strings.HasPrefix(address, "data.") {
			continue
		}
		tagged++
		if tags[key] != "pillarbox" || tags["ManagedBy"] != "terraform" ||
			key == "Stack" && tags["Environment"] != "production" {
			say("%s has the tags %s", address, shown(tags))
		}
	}
	if tagged < 40 {
		say("only %d resources have tags", tagged)
	}
	for _, address := range s.of("aws_budgets_budget") {
		if got := s.text(address, "cost_filter", "values"); got != "user:"+key+"$pillarbox" {
			say("the budget counts %s", got)
		}
	}
	if query := s.text("aws_resourcegroups_group.all", "resource_query", "query"); !strings.Contains(
		query,
		`{"Key":"`+key+`","Values":["pillarbox"]}`,
	) {
		say("the group looks for %s", query)
	}
}

func everythingIsEncrypted(s state, say func(string, ...any)) {
	key := s.text("aws_kms_key.main", "arn")
	for kind, path := range map[string][]string{
		"aws_sqs_queue": {"kms_master_key_id"}, "aws_lambda_function": {"kms_key_arn"},
		"aws_cloudwatch_log_group": {"kms_key_id"}, "aws_secretsmanager_secret": {"kms_key_id"}, "aws_backup_vault": {"kms_key_arn"},
		"aws_dynamodb_table": {"server_side_encryption", "kms_key_arn"},
		"aws_s3_bucket_server_side_encryption_configuration": {
			"rule", "apply_server_side_encryption_by_default", "kms_master_key_id"},
	} {
		for _, address := range s.of(kind) {
			if s.text(address, path...) != key && s.text(address, "region") != "us-east-1" {
				say("%s is encrypted with %q", address, s.text(address, path...))
			}
		}
	}
}
