package terraform_test

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	dynamodbengine "pillarbox/internal/engine/dynamodb"
	s3engine "pillarbox/internal/engine/s3"
	sqsengine "pillarbox/internal/engine/sqs"
)

// What a function can call is what its binary is linked with. The linker follows every call from
// main, leaves out each method that nothing reaches, and keeps all that it is not sure of: so an
// operation of the SDK that is not in the binary can't be called, whatever happens in it.

// repository is its root, as seen from here.
const repository = "../.."

// operation matches the symbols of the SDK's operations.
var operation = regexp.MustCompile(
	`^github\.com/aws/aws-sdk-go-v2/service/([a-z0-9]+)\.\(\*Client\)\.([A-Z]\w*)$`)

// neverCalled are operations that clients of the SDK bring along and that are never called here.
var neverCalled = map[string]string{
	"s3:CreateSession":           "for directory buckets, whose names end in --x-s3",
	"dynamodb:DescribeEndpoints": "where discovery of endpoints is switched on, and it is not",
}

// onlyTold are calls that a function makes only where it is told of what they are for, by a variable
// of its environment. Without it, its role must not allow them.
var onlyTold = map[string]map[string]string{"accept": {
	"secretsmanager:GetSecretValue": "PILLARBOX_SECRETS",
	"s3:GetObject":                  "PILLARBOX_API_KEYS_BUCKET",
	"dynamodb:PutItem":              "PILLARBOX_IDEMPOTENCY_TABLE",
	"dynamodb:GetItem":              "PILLARBOX_IDEMPOTENCY_TABLE",
	"dynamodb:DeleteItem":           "PILLARBOX_IDEMPOTENCY_TABLE",
}}

// callsTold are those of the calls of a role that it can make as it is told.
func callsTold(role string, calls []string, told func(variable string) bool) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(call string) bool {
		variable := onlyTold[role][call]
		return variable != "" && !told(variable)
	})
}

// otherwise are the operations whose actions have other names. All others have their own.
var otherwise = map[string]string{
	"sqs:SendMessageBatch":             "sqs:SendMessage",
	"sqs:DeleteMessageBatch":           "sqs:DeleteMessage",
	"sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
	"s3:ListObjectsV2":                 "s3:ListBucket",
}

// actionOf is the action of IAM that an operation needs.
func actionOf(operation string) string {
	if action := otherwise[operation]; action != "" {
		return action
	}
	return operation
}

// uncalledNeed is what a role has for something else than the calls of its function.
type uncalledNeed struct {
	why     string
	roles   []string
	actions []string
}

var (
	allFunctions = []string{"accept", "deliver", "deadletter", "canary"}
	fromQueues   = []string{"deliver", "deadletter"}
	built        = []string{"accept", "deliver", "deadletter"} // of Go
)

var uncalled = []uncalledNeed{
	{"Lambda takes from the queue in the name of the function", fromQueues,
		[]string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}},
	{"without it, a missing object looks forbidden", fromQueues, []string{"s3:ListBucket"}},
	{"a function's environment is encrypted, and so is what it reads", allFunctions,
		[]string{"kms:Decrypt"}},
	{"what is written is encrypted", built,
		[]string{"kms:GenerateDataKey"}},
	{"Lambda writes the log", allFunctions, []string{"logs:CreateLogStream", "logs:PutLogEvents"}},
	{"Lambda's daemon sends what is traced", allFunctions,
		[]string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}},
}

// inNetwork are the actions with which Lambda puts a function into a VPC.
const inNetwork = "ec2:"

// build links the binary of a role as it is deployed, but with symbols and for this machine, and
// returns the operations in it. overlay, if any, is a file that puts other text in place of source.
func build(role, overlay string) ([]string, error) {
	dir, err := os.MkdirTemp("", "pillarbox-calls")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, role)
	args := []string{"build", "-buildvcs=false", "-tags", "lambda.norpc,pillarbox_" + role, "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	command := exec.Command("go", append(args, "./cmd/pillarbox-lambda")...)
	command.Dir = repository
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", role, err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	symbols, err := file.Symbols()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, symbol := range symbols {
		if m := operation.FindStringSubmatch(symbol.Name); m != nil && m[2] != "Options" {
			found = append(found, m[1]+":"+m[2])
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// callOfCanary matches the calls of the canary, which is in Python and names them in snake case.
var callOfCanary = regexp.MustCompile(`\bTABLE\.([a-z_]+)\(`)

func operationsOfCanary() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(module, "canary", "canary.py"))
	if err != nil {
		return nil, err
	}
	clients := strings.Count(string(text), "boto3.")
	if clients != 1 || !strings.Contains(string(text), `TABLE = boto3.client("dynamodb")`) {
		return nil, fmt.Errorf("the canary has %d clients, want one of dynamodb, TABLE", clients)
	}
	var found []string
	for _, m := range callOfCanary.FindAllStringSubmatch(string(text), -1) {
		var name strings.Builder
		for word := range strings.SplitSeq(m[1], "_") {
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
		found = append(found, "dynamodb:"+name.String())
	}
	return found, nil
}

// operations are what each function can call, by its role.
var operations = sync.OnceValues(func() (map[string][]string, error) {
	found := map[string][]string{}
	var err error
	for _, role := range built {
		if found[role], err = build(role, ""); err != nil {
			return nil, err
		}
	}
	found["canary"], err = operationsOfCanary()
	return found, err
})

// compareCalls says what of a role is called and not allowed, and what is allowed and not called.
func compareCalls(role string, calls, allowed []string, say func(string, ...any)) {
	wanted := map[string]bool{}
	for _, call := range calls {
		if neverCalled[call] != "" {
			continue
		}
		action := actionOf(call)
		wanted[action] = true
		if !slices.Contains(allowed, action) {
			say("%s can call %s, and its role does not allow %s", role, call, action)
		}
	}
	for _, need := range uncalled {
		if !slices.Contains(need.roles, role) {
			continue
		}
		for _, action := range need.actions {
			wanted[action] = true
			if !slices.Contains(allowed, action) {
				say("the role of %s does not allow %s: %s", role, action, need.why)
			}
		}
	}
	for _, action := range allowed {
		if !wanted[action] && !strings.HasPrefix(action, inNetwork) {
			say("the role of %s allows %s, and nothing in it can call that", role, action)
		}
	}
}

// functionsMayWhatTheyCall compares the roles of the functions with their binaries, and the
// services through which each meets the key.
func functionsMayWhatTheyCall(s state, say func(string, ...any)) {
	calls, err := operations()
	if err != nil {
		say("what the functions call is not known: %v", err)
		return
	}
	for _, role := range allFunctions {
		document := fmt.Sprintf("data.aws_iam_policy_document.function[%q]", role)
		if role == "canary" {
			document = "data.aws_iam_policy_document.canary[0]"
		}
		if s[document] == nil {
			continue // it is not chosen
		}
		var allowed []string
		ways := map[string]bool{}
		for _, read := range statementsOf(s, document) {
			if read.effect != "Allow" {
				continue
			}
			allowed = append(allowed, read.actions...)
			for _, condition := range read.conditions {
				if services, ok := strings.CutPrefix(condition, "StringEquals kms:ViaService "); ok {
					for service := range strings.SplitSeq(services, ",") {
						name, _, _ := strings.Cut(service, ".")
						ways[name] = true
					}
				}
			}
		}
		told := func(variable string) bool {
			return s.text(fmt.Sprintf("aws_lambda_function.role[%q]", role), "environment", "variables", variable) != ""
		}
		made := callsTold(role, calls[role], told)
		if role == "accept" && told("PILLARBOX_API_KEYS_BUCKET") {
			made = append(made, "s3:ListObjectsV2") // never called: without it, a file that nobody has made yet looks forbidden
		}
		compareCalls(role, made, allowed, say)
		compareWays(role, allowed, ways, say)
	}
}

// compareWays: a service that keeps what a role reads or writes uses the key in its name.
func compareWays(role string, allowed []string, ways map[string]bool, say func(string, ...any)) {
	wanted := map[string]bool{}
	for _, action := range allowed {
		service, _, _ := strings.Cut(action, ":")
		wanted[service] = slices.Contains([]string{"sqs", "s3", "dynamodb", "secretsmanager"}, service)
	}
	for service, used := range wanted {
		if used && !ways[service] {
			say("the role of %s uses %s, and does not meet the key through it", role, service)
		}
	}
	for service := range ways {
		if !wanted[service] {
			say("the role of %s meets the key through %s, which it does not use", role, service)
		}
	}
}

// ceilingIsNoHigher: what no role below it does, the ceiling does not allow, and the other way
// round.
func ceilingIsNoHigher(s state, say func(string, ...any)) {
	const ceiling = "data.aws_iam_policy_document.boundary"
	below, above := map[string]bool{}, map[string]bool{}
	for _, address := range s.of("aws_iam_role_policy") {
		name, key, _ := strings.Cut(strings.TrimPrefix(address, "aws_iam_role_policy."), "[")
		if name == "direct" || name == "pipeline" || s.boundaryOf(name, key) == "" {
			continue
		}
		for _, document := range s.of("data.aws_iam_policy_document") {
			if s.text(document, "json") != s.text(address, "policy") {
				continue
			}
			for _, read := range statementsOf(s, document) {
				for _, action := range read.actions {
					below[action] = below[action] || read.effect == "Allow"
				}
			}
		}
	}
	for _, read := range statementsOf(s, ceiling) {
		for _, action := range read.actions {
			above[action] = true
			if !below[action] {
				say("the ceiling allows %s, and no role below it does", action)
			}
		}
	}
	for _, action := range slices.Sorted(maps.Keys(below)) {
		if below[action] && !above[action] {
			say("a role allows %s, and the ceiling does not", action)
		}
	}
}

func (s state) boundaryOf(name, key string) string {
	address := "aws_iam_role." + name
	if key != "" {
		address += "[" + key
	}
	return s.text(address, "permissions_boundary")
}

// byPeople are actions of the policy operate for which no program of ours has a call.
var byPeople = []string{
	// the runbooks: where the queues are, letters that go back, delivering that is stopped
	"sqs:GetQueueUrl", "sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks",
	"sqs:CancelMessageMoveTask", "lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping",
	"lambda:ListEventSourceMappings", "logs:FilterLogEvents", "logs:GetLogEvents",
	"logs:DescribeLogStreams",
	// to exchange a secret of a source
	"secretsmanager:PutSecretValue",
	// the services use the key in the name of who calls them
	"kms:Decrypt", "kms:GenerateDataKey",
}

// serverMayWhatItCalls compares the policy operate with what the engines declare of the SDK's
// clients. The linker is no witness here: the command line uses templates, for which it keeps every
// method.
func serverMayWhatItCalls(s state, say func(string, ...any)) {
	wanted := map[string]bool{}
	for service, client := range map[string]reflect.Type{
		"sqs": reflect.TypeFor[sqsengine.API](), "dynamodb": reflect.TypeFor[dynamodbengine.API](),
		"s3": reflect.TypeFor[s3engine.API](),
	} {
		for i := range client.NumMethod() {
			wanted[actionOf(service+":"+client.Method(i).Name)] = true
		}
	}
	if keys := reflect.TypeFor[dynamodbengine.KeysAPI](); s.has("aws_dynamodb_table.idempotency") {
		for i := range keys.NumMethod() {
			wanted["dynamodb:"+keys.Method(i).Name] = true
		}
	}
	allowed := map[string]bool{}
	for _, read := range statementsOf(s, "data.aws_iam_policy_document.operate") {
		for _, action := range read.actions {
			allowed[action] = true
			if !wanted[action] && !slices.Contains(byPeople, action) {
				say("operate allows %s, and neither a program nor a runbook needs it", action)
			}
		}
	}
	for action := range wanted {
		if !allowed[action] {
			say("a server calls %s, and operate does not allow it", action)
		}
	}
}

// TestCallsAreKnown holds the table of what each function can call. It is read from the binaries:
// who changes it changes the roles in deploy/terraform/roles.tf with it.
func TestCallsAreKnown(t *testing.T) {
	calls, err := operations()
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string][]string{
		"accept": {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "s3:GetObject", "s3:PutObject",
			"secretsmanager:GetSecretValue", "sqs:GetQueueAttributes", "sqs:SendMessageBatch"},
		"deliver": {"dynamodb:BatchWriteItem", "s3:GetObject", "s3:PutObject",
			"sqs:ChangeMessageVisibilityBatch", "sqs:GetQueueAttributes", "sqs:SendMessageBatch"},
		"deadletter": {"s3:GetObject", "s3:PutObject"},
		"canary":     {"dynamodb:GetItem"},
	} {
		got := slices.DeleteFunc(slices.Clone(calls[role]),
			func(call string) bool { return neverCalled[call] != "" })
		if !slices.Equal(got, want) {
			t.Errorf("%s can call %v, want %v", role, got, want)
		}
	}
}

// TestPicturesAllowWhatIsCalled does without Terraform what the rule does with it, for the policies
// in the pictures.
func TestPicturesAllowWhatIsCalled(t *testing.T) {
	calls, err := operations()
	if err != nil {
		t.Fatal(err)
	}
	allowed := pictured(t)
	for role := range allowed {
		compareCalls(role, callsTold(role, calls[role], toldByDefault), allowed[role], t.Errorf)
	}
}

// toldByDefault reports whether a function is told of something where nothing is chosen.
func toldByDefault(variable string) bool { return variable == "PILLARBOX_IDEMPOTENCY_TABLE" }

// pictured are the actions of each function's role in the picture of what is made by default.
func pictured(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "defaults", "policies.txt"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	line := regexp.MustCompile(`(?m)^(?:function\["(\w+)"\]|(canary)\[0\]): Allow (.*?) on `)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		role := m[1] + m[2] // one of them is empty
		allowed[role] = append(allowed[role], strings.Fields(m[3])...)
	}
	if len(allowed) != len(allFunctions) {
		t.Fatalf("policies of %v, want of %v", slices.Collect(maps.Keys(allowed)), allFunctions)
	}
	return allowed
}

// planted is a change of the source of a function that its role does not fit any more.
var planted = []struct{ name, role, file, old, new, want string }{
	{
		"accept receives", "accept", "internal/engine/sqs/attributes.go",
		"	out, err := q.client.GetQueueAttributes(ctx,",
		"	_, _ = q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{})\n" +
			"	out, err := q.client.GetQueueAttributes(ctx,",
		"accept can call sqs:ReceiveMessage, and its role does not allow sqs:ReceiveMessage",
	},
	{
		"deliver looks at its table", "deliver", "internal/engine/dynamodb/put.go",
		"		out, err := s.client.BatchWriteItem(ctx,",
		"		_, _ = s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{})\n" +
			"		out, err := s.client.BatchWriteItem(ctx,",
		"deliver can call dynamodb:DescribeTable, and its role does not allow dynamodb:DescribeTable",
	},
	{
		"letters are deleted", "deadletter", "internal/engine/s3/objects.go",
		"	_, err := o.client.PutObject(ctx, in)",
		"	_ = o.remove(ctx, name)\n	_, err := o.client.PutObject(ctx, in)",
		"deadletter can call s3:DeleteObject, and its role does not allow s3:DeleteObject",
	},
	{
		"accept asks no more what the queue takes", "accept", "internal/engine/sqs/attributes.go",
		"q.client.GetQueueAttributes(ctx,\n		&sqs.GetQueueAttributesInput{QueueUrl: &q.url, " +
			"AttributeNames: names})",
		"&sqs.GetQueueAttributesOutput{}, ctx.Err()",
		"the role of accept allows sqs:GetQueueAttributes, and nothing in it can call that",
	},
}

// TestPlantedCallIsNoticed builds each function with a call that it has not, or without one.
func TestPlantedCallIsNoticed(t *testing.T) {
	allowed := pictured(t)
	for _, p := range planted {
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) {
			calls, err := build(p.role, overlay(t, p.file, p.old, p.new))
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			compareCalls(p.role, callsTold(p.role, calls, toldByDefault), allowed[p.role], func(format string, args ...any) {
				said = append(said, fmt.Sprintf(format, args...))
			})
			if !slices.Equal(said, []string{p.want}) {
				t.Errorf("said was %q, want %q", said, p.want)
			}
		})
	}
}

// overlay writes what go build reads in the place of a file of the source.
func overlay(t *testing.T, file, before, after string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil {
		t.Fatal(err)
	}
	if found := strings.Count(string(text), before); found != 1 {
		t.Fatalf("the text to replace is in %s %d times, want once", file, found)
	}
	changed := filepath.Join(t.TempDir(), "changed.go")
	text = []byte(strings.Replace(string(text), before, after, 1))
	if err := os.WriteFile(changed, text, 0o644); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(filepath.Join(repository, file))
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, replace, 0o644); err != nil {
		t.Fatal(err)
	}
	return list
}
