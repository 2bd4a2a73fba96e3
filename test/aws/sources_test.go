package aws_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"pillarbox"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakelambda"
	"pillarbox/test/standin/fakesecrets"
)

const hookSecret = "the-secret-of-the-webhook"

// door is the accepting function with a file of sources, as the module makes it.
type door struct {
	*cloud
	base string // URL of the stage

	id, key string // of an API key
}

const doorRules = `
sources:
  app: { auth: [{ api_key: true }] }
  hooks: { path: /hooks/github, preset: github, signature: { secrets: ["${HOOK_SECRET}"] } }
`

func newDoor(t *testing.T) *door {
	t.Helper()
	needsStandIns(t)
	c := newCloud(t)
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(doorRules), 0o600); err != nil {
		t.Fatal(err)
	}
	secretsURL := fakesecrets.New().Start(t)
	secrets := secretsmanager.NewFromConfig(aws.Config{Region: region, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")},
		func(o *secretsmanager.Options) { o.BaseEndpoint = &secretsURL })
	if _, err := secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("pillarbox-sources"),
		SecretString: aws.String(`{"HOOK_SECRET":"` + hookSecret + `"}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.dynamoClient.CreateTable(t.Context(), &awsdynamodb.CreateTableInput{
		TableName: aws.String("idempotency"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("Key"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("Key"), AttributeType: types.ScalarAttributeTypeS}},
	}); err != nil {
		t.Fatal(err)
	}
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{cloud: c}
	d.id, d.key = c.makeKey()
	c.accept = c.function(filepath.Join(dir, "bootstrap"), "accept", "PILLARBOX_SQS_QUEUE_URL="+c.queueURL,
		"PILLARBOX_SOURCES_FILE=sources.yaml", "LAMBDA_TASK_ROOT="+filepath.Dir(file), "PILLARBOX_SECRETS=pillarbox-sources",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER="+secretsURL, "PILLARBOX_API_KEYS_BUCKET="+c.bucket, "PILLARBOX_IDEMPOTENCY_TABLE=idempotency")
	front := httptest.NewServer(&fakelambda.Gateway{Kind: fakelambda.REST, Function: c.accept})
	t.Cleanup(front.Close)
	d.base = front.URL + "/live"
	return d
}

// keys runs a command about API keys, on the place where the function looks for them.
func (c *cloud) keys(want string, args ...string) string {
	c.t.Helper()
	config := c.config()
	text, err := os.ReadFile(config)
	if err != nil {
		c.t.Fatal(err)
	}
	text = fmt.Appendf(text, "api_keys: { url: \"s3://%s/api-keys.json?path_style=true\" }\n", c.bucket)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	out, exit := c.command(append(append([]string{"keys"}, args...), "--config", config)...)
	if exit != 0 || !strings.Contains(out, want) {
		c.t.Fatalf("keys %v: exit %d, without %q", args, exit, want)
	}
	return out
}

// makeKey makes an API key with the command line.
func (c *cloud) makeKey() (id, key string) {
	c.t.Helper()
	out := c.keys(`"key"`, "create", "--name", "shop", "--source", "app", "-o", "json")
	var made struct{ ID, Key string }
	if err := json.NewDecoder(strings.NewReader(out[strings.Index(out, "{"):])).Decode(&made); err != nil || made.Key == "" || made.ID == "" {
		c.t.Fatalf("%s: %v", out, err)
	}
	return made.ID, made.Key
}

// ask posts with header lines, and wants a status.
func (d *door) ask(want int, path, body string, header ...string) (http.Header, string) {
	d.t.Helper()
	request, err := http.NewRequest(http.MethodPost, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		d.t.Fatalf("%s %v: answered with %d %s, want %d\n%s", path, header, response.StatusCode, text, want, d.log)
	}
	return response.Header, string(text)
}

// delivered delivers all, and returns what is stored.
func (d *door) delivered(want int) []*pillarbox.Event {
	d.t.Helper()
	d.drain(d.deliver, "events")
	events := d.stored()
	if len(events) != want {
		d.t.Fatalf("%d events are stored, want %d\n%s", len(events), want, d.log)
	}
	return events
}

// TestAWebhookOfGitHub is stored where its signature is right, with it, and refused where it is not.
func TestAWebhookOfGitHub(t *testing.T) {
	d := newDoor(t)
	const body = `{"zen":"Keep it logically awesome.","hook_id":1}`
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	signed := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	header := []string{"Content-Type", "application/json", "X-GitHub-Event", "ping", "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
	d.ask(202, "/hooks/github", body, append(header, "X-Hub-Signature-256", signed)...)
	d.ask(401, "/hooks/github", body+"\n", append(header, "X-Hub-Signature-256", signed)...)
	d.ask(401, "/hooks/github", body, append(header, "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))...)
	d.ask(401, "/hooks/github", body, header...)
	again, _ := d.ask(202, "/hooks/github", body, append(header, "X-Hub-Signature-256", signed)...)
	if again.Get(pillarbox.HeaderReplayed) != "true" {
		t.Errorf("the same delivery is answered with %v", again)
	}
	event := d.delivered(1)[0]
	if event.Source != "hooks" || string(event.Body) != body || event.Path != "/hooks/github" {
		t.Errorf("stored is %+v", event)
	}
	if strings.Contains(d.log.String(), hookSecret) {
		t.Error("the secret is in the log")
	}
}

// TestAnAPIKeyOfABucket opens its source, and its name is kept with the event.
func TestAnAPIKeyOfABucket(t *testing.T) {
	d := newDoor(t)
	d.ask(202, "/app", "of the shop", "Authorization", "Bearer "+d.key)
	d.ask(401, "/app", "of nobody")
	d.ask(401, "/app", "of somebody else", "X-Api-Key", "pb_0000000000000000000000000000")
	d.ask(401, "/app/batch", "[1]", "Content-Type", "application/json")
	d.ask(202, "/app/batch", "[1,2]", "Content-Type", "application/json", "X-Api-Key", d.key)
	for _, event := range d.delivered(3) {
		if event.Facts == nil || event.Facts.Caller != "shop" || event.Source != "app" {
			t.Errorf("stored is %+v of %+v", event, event.Facts)
		}
	}
	if strings.Contains(d.log.String(), d.key) {
		t.Error("the key is in the log")
	}
	_, another := d.makeKey()
	d.keys(d.id, "list")
	d.keys("is revoked", "revoke", d.id)
	d.accept.Restart() // a process that lives on asks again after a minute
	d.ask(401, "/app", "of the shop", "X-Api-Key", d.key)
	d.ask(202, "/app", "of the shop", "X-Api-Key", another)
}

// TestARepeatedIdempotencyKey gets the first receipt, whichever process answers, and one event is
// stored; another content is refused, and so is a repetition while the first is not answered.
func TestARepeatedIdempotencyKey(t *testing.T) {
	d := newDoor(t)
	key := []string{"X-Api-Key", d.key, "Idempotency-Key", "order-7"}
	_, first := d.ask(202, "/app?a=1", "x", key...)
	d.accept.Restart()
	again, text := d.ask(202, "/app?a=1", "x", key...)
	if text != first || again.Get(pillarbox.HeaderReplayed) != "true" {
		t.Errorf("answered with %v %s, want %s", again, text, first)
	}
	d.ask(422, "/app?a=2", "x", key...)
	key[3] = "order-8"
	d.sqs.Throttle(100, "SendMessageBatch") // the outcome of the first is not known
	d.ask(503, "/app", "y", key...)
	d.sqs.Allow()
	_, stored := d.ask(202, "/app", "y", key...)
	if _, text := d.ask(202, "/app", "y", key...); text != stored {
		t.Errorf("answered with %s, want %s", text, stored)
	}
	d.delivered(2)
}
