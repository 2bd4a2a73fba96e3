package terraform_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

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
		m := metric{
			fmt.Sprintf("%v %v", value["namespace"], value["metric_name"]),
			map[string]string{},
		}
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
	is := func(address, path string) func(string) bool {
		return func(name string) bool { return name == s.text(address, path) }
	}
	exists := map[string]func(string) bool{
		"QueueName": func(name string) bool {
			return name == "pillarbox-events" || name == "pillarbox-dead-letters"
		},
		"FunctionName":    func(name string) bool { return functions[name] },
		"TableName":       is("aws_dynamodb_table.events", "name"),
		"ApiName":         is("aws_api_gateway_rest_api.front", "name"),
		"Stage":           is("aws_api_gateway_stage.live", "stage_name"),
		"GroupName":       is("aws_xray_group.all", "group_name"),
		"WebACL":          is("aws_wafv2_web_acl.front[0]", "name"),
		"BackupVaultName": is("aws_backup_vault.main[0]", "name"),
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
	body := s.text("aws_cloudwatch_dashboard.main", "dashboard_body")
	if err := json.Unmarshal([]byte(body), &board); err != nil {
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
		"queue-late":      "ApproximateAgeOfOldestMessage",
		"queue-in-flight": "ApproximateNumberOfMessagesNotVisible",
		"write-units":     "ConsumedWriteCapacityUnits", "read-units": "ConsumedReadCapacityUnits",
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
		missing := s.text(address, "treat_missing_data")
		if (want == "LessThanThreshold") != (missing == "breaching") {
			say("%s: silence is %s", name, missing)
		}
		priority := s.text(address, "tags", "Priority")
		for _, actions := range []string{"alarm_actions", "ok_actions"} {
			topic := s.text(address, actions)
			if !strings.HasSuffix(topic, ":pillarbox-alarms-"+priority) &&
				!(name == "health" && strings.HasSuffix(topic, ":pillarbox-health")) {
				say("%s is %s and tells %s", name, priority, topic)
			}
		}
		if description := s.text(address, "alarm_description"); !strings.HasPrefix(
			description,
			strings.ToUpper(priority)+": ",
		) {
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
				if (strings.HasPrefix(name, word) || strings.HasSuffix(name, word)) &&
					!strings.Contains(name, "user-") &&
					!strings.Contains(name, "system-") &&
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
	for _, read := range statementsOf(s, document) {
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
		policy := strings.Replace(
			address,
			"aws_sns_topic.alarms",
			"data.aws_iam_policy_document.topic",
			1,
		)
		for service := range services {
			if !grants(s, policy, service, "sns:Publish") {
				say("%s may not publish to %s", service, address)
			}
			if !grants(
				s,
				"data.aws_iam_policy_document.key",
				service,
				"kms:Decrypt",
				"kms:GenerateDataKey",
			) {
				say("%s publishes to %s and may not use the key", service, address)
			}
		}
	}
	// Queues are written to by roles. Each that may send needs both actions on the key, through SQS.
	for _, address := range s.of("data.aws_iam_policy_document") {
		sends, key := false, false
		for _, read := range statementsOf(s, address) {
			sends = sends ||
				read.effect == "Allow" && slices.Contains(read.actions, "sqs:SendMessage")
			through := len(read.conditions) == 0 // the ceiling has none
			for _, condition := range read.conditions {
				through = through ||
					strings.HasPrefix(condition, "StringEquals kms:ViaService") &&
						strings.Contains(condition, "sqs.eu-west-2.amazonaws.com")
			}
			key = key ||
				through && slices.Contains(read.actions, "kms:Decrypt") &&
					slices.Contains(read.actions, "kms:GenerateDataKey")
		}
		if sends && !key {
			say("%s may send and may not use the key", address)
		}
	}
}

func failedBackupsAreTold(s state, say func(string, ...any)) {
	if !s.has("aws_backup_vault.main") {
		return
	}
	events := s.text("aws_backup_vault_notifications.main[0]", "backup_vault_events")
	if events != "BACKUP_JOB_COMPLETED" {
		say(
			"the vault tells of %s; failed jobs come as BACKUP_JOB_COMPLETED with another State",
			events,
		)
	}
	topic, subscribed := s.text("aws_backup_vault_notifications.main[0]", "sns_topic_arn"), false
	for _, address := range s.of("aws_sns_topic_subscription") {
		mine := s.text(address, "topic_arn") == topic
		subscribed = subscribed || mine
		filter := s.text(address, "filter_policy")
		if want := `{"State":[{"anything-but":["COMPLETED"]}]}`; mine != (filter == want) ||
			!mine && filter != "" {
			say("%s has the filter %q", address, filter)
		}
	}
	if !subscribed {
		say("nobody is told of backups")
	}
	tags := false
	for _, read := range statementsOf(s, "data.aws_iam_policy_document.backup[0]") {
		tags = tags || slices.Contains(read.actions, "backup:TagResource")
	}
	if !tags {
		say("the role may not tag a backup")
	}
	if got := s.text("aws_backup_selection.table[0]", "resources"); got != s.text(
		"aws_dynamodb_table.events",
		"arn",
	) {
		say("what is backed up is %s", got)
	}
}
