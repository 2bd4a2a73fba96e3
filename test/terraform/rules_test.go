package terraform_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is something that must be true of every stack, whatever is chosen. It says what is not.
type rule struct {
	name  string
	check func(s state, say func(string, ...any))
}

var rules = []rule{
	{"each function has the queue of its work", functionsHaveTheirQueues},
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
}

const (
	eventsURL = "https://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-events"
	deadURL   = "https://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-dead-letters"
	eventsARN = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-events"
	deadARN   = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-dead-letters"
)

func functionsHaveTheirQueues(s state, say func(string, ...any)) {
	for role, want := range map[string][2]string{"accept": {eventsURL, ""}, "deliver": {eventsURL, deadURL}, "deadletter": {"", ""}} {
		address := fmt.Sprintf("aws_lambda_function.role[%q]", role)
		if s[address] == nil {
			continue
		}
		for i, variable := range []string{"PILLARBOX_SQS_QUEUE_URL", "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL"} {
			if got := s.text(address, "environment", "variables", variable); got != want[i] {
				say("%s of %s is %q, want %q", variable, role, got, want[i])
			}
		}
		if got := s.text(address, "environment", "variables", "PILLARBOX_ROLE"); got != role {
			say("PILLARBOX_ROLE of %s is %q", role, got)
		}
	}
	table := s.text("aws_dynamodb_table.events", "name")
	if got := s.text(`aws_lambda_function.role["deliver"]`, "environment", "variables", "PILLARBOX_DYNAMODB_TABLE"); got != table {
		say("deliver writes to %s, and the table is %s", got, table)
	}
}

// alias is how the stand-in writes the ARN of an alias.
func alias(role string) string {
	return "arn:aws:stub:eu-west-2:123456789012:lambda_alias/pillarbox-" + role
}

func callersAndCalled(s state, say func(string, ...any)) {
	for _, method := range []string{"GET", "POST"} {
		integration := fmt.Sprintf("aws_api_gateway_integration.accept[%q]", method)
		if s[integration] == nil {
			continue
		}
		if uri := s.text(integration, "uri"); !strings.HasSuffix(uri, "/"+alias("accept")+"/invocations") {
			say("%s /app calls %s", method, uri)
		}
		permission := fmt.Sprintf("aws_lambda_permission.accept[%q]", method)
		got := []string{s.text(permission, "function_name"), s.text(permission, "qualifier"),
			s.text(permission, "principal"), s.text(permission, "source_arn")}
		want := []string{"pillarbox-accept", "live", "apigateway.amazonaws.com",
			"arn:aws:execute-api:eu-west-2:123456789012:pillarbox/" + s.text("aws_api_gateway_stage.live", "stage_name") + "/" + method + "/app"}
		if !slices.Equal(got, want) {
			say("permission for %s is %v, want %v", method, got, want)
		}
	}
	if s.has("aws_api_gateway_integration.queue") {
		if uri := s.text("aws_api_gateway_integration.queue[0]", "uri"); !strings.HasSuffix(uri, ":sqs:path/123456789012/pillarbox-events") {
			say("POST /app sends to %s", uri)
		}
	}
	for name, want := range map[string][2]string{"deliver": {eventsARN, alias("deliver")}, "deadletter": {deadARN, alias("deadletter")}} {
		mapping := "aws_lambda_event_source_mapping." + name
		got := [2]string{s.text(mapping, "event_source_arn"), s.text(mapping, "function_name")}
		if got != want || s.text(mapping, "enabled") == "false" {
			say("%s is fed by %v, enabled %q, want %v", name, got, s.text(mapping, "enabled"), want)
		}
		if responses := s.text(mapping, "function_response_types"); responses != "ReportBatchItemFailures" {
			say("%s answers %q", name, responses)
		}
	}
	for _, address := range s.of("aws_lambda_alias") {
		role := strings.TrimSuffix(strings.TrimPrefix(address, `aws_lambda_alias.live["`), `"]`)
		if got := s.text(address, "function_name"); got != "pillarbox-"+role {
			say("the alias of %s is one of %s", role, got)
		}
	}
	if s.has("aws_scheduler_schedule.canary") {
		if got := s.text("aws_scheduler_schedule.canary[0]", "target", "arn"); got != "arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-canary" {
			say("the schedule runs %s", got)
		}
		canary := func(variable string) string {
			return s.text("aws_lambda_function.canary[0]", "environment", "variables", variable)
		}
		if canary("TABLE") != s.text("aws_dynamodb_table.events", "name") || !strings.HasSuffix(canary("URL"), "/app") {
			say("the canary posts to %s and reads %s", canary("URL"), canary("TABLE"))
		}
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
		Count  int    `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(s.text("aws_sqs_queue.events", "redrive_policy")), &policy); err != nil ||
		policy.Target != deadARN || policy.Count != 20 {
		say("events die into %+v, %v", policy, err)
	}
}

// documented are the metrics of AWS that are used, with their dimensions, from AWS's documents.
var documented = map[string]string{
	"AWS/ApiGateway 4XXError": "ApiName Stage", "AWS/ApiGateway 5XXError": "ApiName Stage",
	"AWS/ApiGateway Latency": "ApiName Stage", "AWS/ApiGateway IntegrationLatency": "ApiName Stage",
	"AWS/ApiGateway Count":                          "ApiName Stage",
	"AWS/SQS ApproximateAgeOfOldestMessage":         "QueueName",
	"AWS/SQS ApproximateNumberOfMessagesVisible":    "QueueName",
	"AWS/SQS ApproximateNumberOfMessagesNotVisible": "QueueName",
	"AWS/SQS NumberOfMessagesSent":                  "QueueName",
	"AWS/SQS NumberOfMessagesReceived":              "QueueName",
	"AWS/SQS NumberOfMessagesDeleted":               "QueueName",
	"AWS/DynamoDB UserErrors":                       "", // of the account and region
	"AWS/DynamoDB SystemErrors":                     "Operation TableName",
	"AWS/DynamoDB ThrottledRequests":                "Operation TableName",
	"AWS/DynamoDB SuccessfulRequestLatency":         "Operation TableName",
	"AWS/DynamoDB ReadThrottleEvents":               "TableName",
	"AWS/DynamoDB WriteThrottleEvents":              "TableName|GlobalSecondaryIndexName TableName",
	"AWS/DynamoDB ConsumedReadCapacityUnits":        "TableName",
	"AWS/DynamoDB ConsumedWriteCapacityUnits":       "TableName",
	"AWS/Lambda Errors":                             "FunctionName",
	"AWS/Lambda Throttles":                          "FunctionName",
	"AWS/Lambda Duration":                           "FunctionName",
	"AWS/Lambda Invocations":                        "FunctionName",
	"AWS/Lambda ConcurrentExecutions":               "FunctionName",
	"AWS/WAFV2 BlockedRequests":                     "Region Rule WebACL|Rule WebACL",
	"AWS/Route53 HealthCheckStatus":                 "HealthCheckId",
	"AWS/X-Ray FaultRate":                           "GroupName",
	"AWS/X-Ray ResponseTime":                        "GroupName",
	"AWS/Backup NumberOfBackupJobsCompleted":        "BackupVaultName",
}

// metric is one that an alarm or a graph shows.
type metric struct {
	name       string // NAMESPACE NAME
	dimensions map[string]string
}

// metricsOf lists the metrics of an alarm.
func metricsOf(alarm attributes) []metric {
	read := func(value map[string]any) metric {
		m := metric{fmt.Sprintf("%v %v", value["namespace"], value["metric_name"]), map[string]string{}}
		dimensions, _ := value["dimensions"].(map[string]any)
		for key, text := range dimensions {
			m.dimensions[key] = shown(text)
		}
		return m
	}
	if shown(alarm["metric_name"]) != "" {
		return []metric{read(alarm)}
	}
	var list []metric
	queries, _ := alarm["metric_query"].([]any)
	for _, query := range queries {
		inner, _ := query.(map[string]any)["metric"].([]any)
		for _, value := range inner {
			list = append(list, read(value.(map[string]any)))
		}
	}
	return list
}

func metricsAreDocumented(s state, say func(string, ...any)) {
	functions := map[string]bool{}
	for _, address := range s.of("aws_lambda_function") {
		functions[s.text(address, "function_name")] = true
	}
	exists := map[string]func(string) bool{
		"QueueName":    func(name string) bool { return name == "pillarbox-events" || name == "pillarbox-dead-letters" },
		"TableName":    func(name string) bool { return name == s.text("aws_dynamodb_table.events", "name") },
		"FunctionName": func(name string) bool { return functions[name] },
		"ApiName":      func(name string) bool { return name == s.text("aws_api_gateway_rest_api.front", "name") },
		"Stage":        func(name string) bool { return name == s.text("aws_api_gateway_stage.live", "stage_name") },
		"GroupName":    func(name string) bool { return name == s.text("aws_xray_group.all", "group_name") },
		"WebACL":       func(name string) bool { return name == s.text("aws_wafv2_web_acl.front[0]", "name") },
		"BackupVaultName": func(name string) bool {
			return name == s.text("aws_backup_vault.main[0]", "name")
		},
	}
	see := func(where string, m metric) {
		keys := make([]string, 0, len(m.dimensions))
		for key, value := range m.dimensions {
			keys = append(keys, key)
			if there := exists[key]; there != nil && !there(value) {
				say("%s: %s watches %s=%s, which is not there", where, m.name, key, value)
			}
		}
		slices.Sort(keys)
		want, known := documented[m.name]
		if !known || !slices.Contains(strings.Split(want, "|"), strings.Join(keys, " ")) {
			say("%s: %s has dimensions %v, documented are %q", where, m.name, keys, want)
		}
	}
	for _, address := range s.of("aws_cloudwatch_metric_alarm") {
		list := metricsOf(s[address])
		if len(list) == 0 {
			say("%s watches nothing", address)
		}
		for _, m := range list {
			see(address, m)
		}
	}
	var board struct {
		Widgets []struct{ Properties struct{ Metrics [][]any } }
	}
	if err := json.Unmarshal([]byte(s.text("aws_cloudwatch_dashboard.main", "dashboard_body")), &board); err != nil {
		say("dashboard: %v", err)
	}
	for _, widget := range board.Widgets {
		for _, graph := range widget.Properties.Metrics {
			m := metric{fmt.Sprintf("%v %v", graph[0], graph[1]), map[string]string{}}
			for i := 2; i+1 < len(graph); i += 2 {
				m.dimensions[shown(graph[i])] = shown(graph[i+1])
			}
			see("dashboard", m)
		}
	}
}

// watched says what each alarm is about: the queue, function or table in its name must be the one
// that it watches. Below lists the alarms that ring when there is too little.
var (
	below   = []string{"canary-missing", "backup-missing", "health"}
	watched = map[string]string{
		"accept-": "FunctionName=pillarbox-accept", "deliver-": "FunctionName=pillarbox-deliver",
		"deadletter-": "FunctionName=pillarbox-deadletter", "canary-": "FunctionName=pillarbox-canary",
		"dead-letters": "QueueName=pillarbox-dead-letters", "queue-": "QueueName=pillarbox-events",
		"api-": "ApiName=pillarbox", "requests-": "ApiName=pillarbox",
	}
	metricWord = map[string]string{
		"-errors": "Errors", "-throttles": "Throttles", "-duration": "Duration", "api-4xx": "4XXError",
		"api-5xx": "5XXError", "api-latency": "Latency", "queue-age": "ApproximateAgeOfOldestMessage",
		"queue-late": "ApproximateAgeOfOldestMessage", "queue-in-flight": "ApproximateNumberOfMessagesNotVisible",
		"write-units": "ConsumedWriteCapacityUnits", "read-units": "ConsumedReadCapacityUnits",
		"write-throttle": "WriteThrottleEvents", "read-throttle": "ReadThrottleEvents",
		"canary-missing": "Invocations", "trace-faults": "FaultRate", "trace-latency": "ResponseTime",
		"table-throttled": "ThrottledRequests",
	}
)

func alarmsRing(s state, say func(string, ...any)) {
	for _, address := range s.of("aws_cloudwatch_metric_alarm") {
		name := strings.TrimPrefix(s.text(address, "alarm_name"), "pillarbox-")
		want := "GreaterThanThreshold"
		switch {
		case slices.Contains(below, name):
			want = "LessThanThreshold"
		case name == "requests-few":
			want = "LessThanLowerThreshold"
		case name == "requests-many":
			want = "GreaterThanUpperThreshold"
		}
		if got := s.text(address, "comparison_operator"); got != want {
			say("%s rings at %s, want %s", name, got, want)
		}
		if missing := s.text(address, "treat_missing_data"); (want == "LessThanThreshold") != (missing == "breaching") {
			say("%s: silence is %s", name, missing)
		}
		priority := s.text(address, "tags", "Priority")
		for _, actions := range []string{"alarm_actions", "ok_actions"} {
			topic := s.text(address, actions)
			if !strings.HasSuffix(topic, ":pillarbox-alarms-"+priority) && !(name == "health" && strings.HasSuffix(topic, ":pillarbox-health")) {
				say("%s is %s and tells %s", name, priority, topic)
			}
		}
		if description := s.text(address, "alarm_description"); !strings.HasPrefix(description, strings.ToUpper(priority)+": ") {
			say("%s is %s and says %s", name, priority, description)
		}
		if s.text(address, "actions_enabled") == "false" {
			say("%s tells nobody", name)
		}
		for _, m := range metricsOf(s[address]) {
			for prefix, dimension := range watched {
				key, value, _ := strings.Cut(dimension, "=")
				if strings.HasPrefix(name, prefix) && m.dimensions[key] != value {
					say("%s watches %v, want %s", name, m.dimensions, dimension)
				}
			}
			for word, metric := range metricWord {
				if (strings.HasPrefix(name, word) || strings.HasSuffix(name, word)) && !strings.Contains(name, "user-") && !strings.Contains(name, "system-") &&
					!strings.HasSuffix(m.name, " "+metric) {
					say("%s watches %s, want %s", name, m.name, metric)
				}
			}
		}
	}
}

// grants reports whether a document allows a service something without a condition that its calls
// would not meet.
func grants(s state, document, service string, actions ...string) bool {
	entries, _ := s[document]["statement"].([]any)
	for _, entry := range entries {
		read := readStatement(entry)
		if read.effect != "Allow" || !slices.Contains(read.principals, "Service:"+service) {
			continue
		}
		all := true
		for _, action := range actions {
			all = all && slices.Contains(read.actions, action)
		}
		for _, condition := range read.conditions {
			all = all && condition == "StringEquals aws:SourceAccount 123456789012"
		}
		if all {
			return true
		}
	}
	return false
}

// writers are the services that publish to each topic by themselves, found by what is set up.
func writers(s state) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	add := func(topic, service string) {
		if found[topic] == nil {
			found[topic] = map[string]bool{}
		}
		found[topic][service] = true
	}
	for _, address := range s.of("aws_cloudwatch_metric_alarm") {
		for _, actions := range []string{"alarm_actions", "ok_actions"} {
			for _, topic := range texts(s[address][actions]) {
				add(topic, "cloudwatch.amazonaws.com")
			}
		}
	}
	for _, address := range s.of("aws_backup_vault_notifications") {
		add(s.text(address, "sns_topic_arn"), "backup.amazonaws.com")
	}
	for _, address := range s.of("aws_budgets_budget") {
		list, _ := s[address]["notification"].([]any)
		for _, entry := range list {
			for _, topic := range texts(entry.(map[string]any)["subscriber_sns_topic_arns"]) {
				add(topic, "budgets.amazonaws.com")
			}
		}
	}
	return found
}

func publishersHaveTheKey(s state, say func(string, ...any)) {
	found := writers(s)
	for _, address := range s.of("aws_sns_topic") {
		services := found[s.text(address, "arn")]
		if len(services) == 0 {
			say("nobody writes to %s", address)
		}
		if !strings.HasPrefix(address, "aws_sns_topic.alarms[") {
			continue // in us-east-1, with the key of SNS
		}
		if s.text(address, "kms_master_key_id") != s.text("aws_kms_key.main", "arn") {
			say("%s is not encrypted with the key", address)
		}
		policy := strings.Replace(address, "aws_sns_topic.alarms", "data.aws_iam_policy_document.topic", 1)
		for service := range services {
			if !grants(s, policy, service, "sns:Publish") {
				say("%s may not publish to %s", service, address)
			}
			if !grants(s, "data.aws_iam_policy_document.key", service, "kms:Decrypt", "kms:GenerateDataKey") {
				say("%s publishes to %s and may not use the key", service, address)
			}
		}
	}
	// Queues are written to by roles. Each that may send needs both actions on the key, through SQS.
	for _, address := range s.of("data.aws_iam_policy_document") {
		sends, key := false, false
		entries, _ := s[address]["statement"].([]any)
		for _, entry := range entries {
			read := readStatement(entry)
			sends = sends || read.effect == "Allow" && slices.Contains(read.actions, "sqs:SendMessage")
			through := len(read.conditions) == 0 // the ceiling has none
			for _, condition := range read.conditions {
				through = through || strings.HasPrefix(condition, "StringEquals kms:ViaService") && strings.Contains(condition, "sqs.eu-west-2.amazonaws.com")
			}
			key = key || through && slices.Contains(read.actions, "kms:Decrypt") && slices.Contains(read.actions, "kms:GenerateDataKey")
		}
		if sends && !key {
			say("%s may send and may not use the key", address)
		}
	}
}

// faultsKeepTheirStatus: API Gateway counts an answer with a changed status as 4XXError, so that the
// alarm on 5XXError would not see it.
func faultsKeepTheirStatus(s state, say func(string, ...any)) {
	clients := []string{"MISSING_AUTHENTICATION_TOKEN"}
	for _, address := range s.of("aws_api_gateway_gateway_response") {
		kind := s.text(address, "response_type")
		if status := s.text(address, "status_code"); status != "" && !slices.Contains(clients, kind) {
			say("the status of %s is changed to %s", kind, status)
		}
		var body struct{ Title string }
		if err := json.Unmarshal([]byte(s.text(address, "response_templates", "application/json")), &body); err != nil {
			say("%s: %v", kind, err)
		}
		unknown := slices.Contains([]string{"DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "API_CONFIGURATION_ERROR"}, kind)
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
	set, _ := walk(map[string]any(s["aws_lambda_function.canary[0]"]), []string{"environment", "variables"}).(map[string]any)
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
		if s.text(address, "id") == plan && (s.text(address, "quota_settings") != "" || s.text(address, "throttle_settings") != "") {
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

// Resources of policies that end in a pattern, and why each has to. Everything else is named in
// full: a name that begins with the name of this stack may be one of another stack.
var patterns = []string{
	`^arn:aws:s3:::pillarbox-dead-letters-[0-9]+-[a-z0-9-]+/`,                     // objects of the bucket
	`^arn:aws:s3:::state/pillarbox/\*$`,                                           // a slash ends the name
	`^arn:aws:dynamodb:[a-z0-9-]+:[0-9]+:table/pillarbox-events\.?2?/`,            // backups and indexes of the table
	`^arn:aws:dynamodb:[a-z0-9-]+:[0-9]+:table/pillarbox-events\.\*$`,             // a dot ends the name
	`^arn:aws:lambda:[a-z0-9-]+:[0-9]+:function:pillarbox-[a-z]+:\*$`,             // versions and aliases
	`^arn:aws:logs:[a-z0-9-]+:[0-9]+:log-group:[^*]+:\*$`,                         // streams of a group
	`^arn:aws:apigateway:eu-west-2::/(restapis|usageplans|domainnames)/[^*]+/\*$`, // what is below it
	`^arn:aws:execute-api:eu-west-2:[0-9]+:pillarbox/\*$`,                         // methods of the API
	`^arn:aws:route53:::change/\*$`,                                               // reads only
	`^arn:aws:wafv2:[a-z0-9-]+:[0-9]+:(regional|global)/managedruleset/\*$`,       // rules of AWS
	`^arn:aws:ec2:eu-west-2:[0-9]+:security-group-rule/\*$`,                       // by tag and action
	`^arn:aws:application-autoscaling:eu-west-2:[0-9]+:scalable-target/\*$`,       // by tag
	`^arn:aws:backup:eu-west-2:[0-9]+:recovery-point:\*$`,                         // ids that nobody knows before
}

// Actions that AWS lets nobody limit to a resource.
var unlimited = []string{
	"application-autoscaling:Describe", "backup:DescribeRestoreJob", "cognito-idp:DescribeUserPoolDomain", "ec2:Describe*",
	"kms:ListAliases", "lambda:ListEventSourceMappings", "logs:DescribeLogGroups",
	"sns:GetSubscriptionAttributes", "xray:PutT", "ec2:AssignPrivateIpAddresses",
	"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
	"ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
}

// never are actions with which a pipeline would make itself more than it is, or take what is not
// its own.
var never = []string{
	"iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:DeleteRolePermissionsBoundary",
	"iam:UpdateAssumeRolePolicy", "iam:PutRolePermissionsBoundary", "kms:PutKeyPolicy", "s3:PutBucketPolicy",
	"s3:GetObject", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "sqs:ReceiveMessage", "lambda:AddPermission",
	"logs:PutResourcePolicy", "apigateway:SetWebACL", "iam:*", "kms:*", "*",
}

func policiesNameInFull(s state, say func(string, ...any)) {
	for _, address := range s.of("data.aws_iam_policy_document") {
		name := strings.TrimPrefix(address, "data.aws_iam_policy_document.")
		entries, _ := s[address]["statement"].([]any)
		for _, entry := range entries {
			read := readStatement(entry)
			if read.effect == "Deny" || len(read.principals) > 0 {
				continue // of a resource, on itself
			}
			for _, resource := range read.resources {
				if !strings.ContainsAny(resource, "*?") {
					continue
				}
				if resource == "*" {
					for _, action := range read.actions {
						if !slices.ContainsFunc(unlimited, func(prefix string) bool { return strings.HasPrefix(action, prefix) }) {
							say("%s: %s is allowed on everything", name, action)
						}
					}
					continue
				}
				if !slices.ContainsFunc(patterns, func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(resource) }) {
					say("%s reaches %s", name, resource)
				}
			}
			if !strings.HasPrefix(name, "infrastructure_") && name != "pipeline_functions" {
				continue
			}
			for _, action := range read.actions {
				state := slices.ContainsFunc(read.resources, func(r string) bool { return strings.HasPrefix(r, "arn:aws:s3:::state") })
				if slices.Contains(never, action) && !state {
					say("%s may %s", name, action)
				}
				if strings.HasPrefix(action, "kms:") && (strings.Contains(action, "crypt") || action == "kms:GenerateDataKey" || action == "kms:CreateGrant") &&
					!slices.Contains(read.conditions, "StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com") {
					say("%s: %s is not bound to Lambda", name, action)
				}
				if action == "iam:PutRolePolicy" && !slices.ContainsFunc(read.conditions, func(c string) bool {
					return strings.HasPrefix(c, "StringEquals iam:PermissionsBoundary arn:aws:iam::123456789012:policy/pillarbox/pillarbox-boundary")
				}) {
					say("%s: %s is not bound to the ceiling", name, action)
				}
				if action == "ec2:CreateTags" && !slices.ContainsFunc(read.conditions, func(c string) bool { return strings.HasPrefix(c, "StringEquals ec2:CreateAction ") }) {
					say("%s tags what is there", name)
				}
				if action == "route53:ChangeResourceRecordSets" && !slices.ContainsFunc(read.conditions, func(c string) bool {
					return strings.HasPrefix(c, "ForAllValues:StringEquals route53:ChangeResourceRecordSetsNormalizedRecordNames ")
				}) {
					say("%s changes every record", name)
				}
			}
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
		var list []statement
		entries, _ := s[address]["statement"].([]any)
		for _, entry := range entries {
			list = append(list, readStatement(entry))
		}
		limit := managedPolicyLimit
		if strings.Contains(address, ".function[") || strings.Contains(address, ".key") {
			limit = inlinePolicyLimit
		}
		size := len(strings.ReplaceAll(document(list), "pillarbox", longestName))
		if size > limit || len(list) == 0 {
			say("%s has %d statements and up to %d characters, %d fit", address, len(list), size, limit)
		}
	}
}

// accountWide are the types of resources of which an account has one, also by region.
var accountWide = []string{
	"aws_api_gateway_account", "aws_iam_openid_connect_provider", "aws_s3_account_public_access_block", "aws_xray_encryption_config",
	"aws_backup_region_settings", "aws_backup_global_settings", "aws_iam_account_alias", "aws_iam_account_password_policy",
	"aws_ebs_encryption_by_default", "aws_iam_service_linked_role", "aws_cloudwatch_log_resource_policy", "aws_lambda_code_signing_config",
	"aws_sns_sms_preferences", "aws_cloudwatch_log_account_policy", "aws_xray_sampling_rule",
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
		if tags[key] != "pillarbox" || tags["ManagedBy"] != "terraform" || key == "Stack" && tags["Environment"] != "production" {
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
	if query := s.text("aws_resourcegroups_group.all", "resource_query", "query"); !strings.Contains(query, `{"Key":"`+key+`","Values":["pillarbox"]}`) {
		say("the group looks for %s", query)
	}
}

func failedBackupsAreTold(s state, say func(string, ...any)) {
	if !s.has("aws_backup_vault.main") {
		return
	}
	if got := s.text("aws_backup_vault_notifications.main[0]", "backup_vault_events"); got != "BACKUP_JOB_COMPLETED" {
		say("the vault tells of %s; failed jobs come as BACKUP_JOB_COMPLETED with another State", got)
	}
	topic, subscribed := s.text("aws_backup_vault_notifications.main[0]", "sns_topic_arn"), false
	for _, address := range s.of("aws_sns_topic_subscription") {
		mine := s.text(address, "topic_arn") == topic
		subscribed = subscribed || mine
		filter := s.text(address, "filter_policy")
		if want := `{"State":[{"anything-but":["COMPLETED"]}]}`; mine != (filter == want) || !mine && filter != "" {
			say("%s has the filter %q", address, filter)
		}
	}
	if !subscribed {
		say("nobody is told of backups")
	}
	tags := false
	entries, _ := s["data.aws_iam_policy_document.backup[0]"]["statement"].([]any)
	for _, entry := range entries {
		tags = tags || slices.Contains(readStatement(entry).actions, "backup:TagResource")
	}
	if !tags {
		say("the role may not tag a backup")
	}
	if got := s.text("aws_backup_selection.table[0]", "resources"); got != s.text("aws_dynamodb_table.events", "arn") {
		say("what is backed up is %s", got)
	}
}

func rolesAreTrusted(s state, say func(string, ...any)) {
	trusted := map[string]string{
		"function": "Service:lambda.amazonaws.com", "canary": "Service:lambda.amazonaws.com",
		"canary_schedule": "Service:scheduler.amazonaws.com", "backup": "Service:backup.amazonaws.com",
		"direct": "Service:apigateway.amazonaws.com", "people": "AWS:arn:aws:iam::123456789012:user/alice",
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
		if name == "people" && !slices.Contains(read.conditions, "Bool aws:MultiFactorAuthPresent true") {
			say("%s asks for no second factor: %v", address, read.conditions)
		}
		if boundary := s.text(address, "permissions_boundary"); (boundary == "") != (name == "people" || name == "pipeline") {
			say("%s stands below %q", address, boundary)
		}
	}
	for _, address := range s.of("aws_lambda_function") {
		if got, want := s.text(address, "role"), "arn:aws:iam::123456789012:role/"+s.text(address, "function_name"); got != want {
			say("%s has the role %s, want %s", address, got, want)
		}
	}
}

func everythingIsEncrypted(s state, say func(string, ...any)) {
	key := s.text("aws_kms_key.main", "arn")
	for kind, path := range map[string][]string{
		"aws_sqs_queue": {"kms_master_key_id"}, "aws_lambda_function": {"kms_key_arn"},
		"aws_cloudwatch_log_group": {"kms_key_id"}, "aws_backup_vault": {"kms_key_arn"},
		"aws_dynamodb_table": {"server_side_encryption", "kms_key_arn"},
		"aws_s3_bucket_server_side_encryption_configuration": {"rule", "apply_server_side_encryption_by_default", "kms_master_key_id"},
	} {
		for _, address := range s.of(kind) {
			if s.text(address, path...) != key && s.text(address, "region") != "us-east-1" {
				say("%s is encrypted with %q", address, s.text(address, path...))
			}
		}
	}
}
