package pillarbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// rule says what a package may import. Patterns are path.Match patterns; "std" is the standard
// library, and a name without a dot in its first element that begins with "pillarbox" is ours.
type rule struct {
	packages string // pattern of the packages it is for
	may      []string
	why      string
}

// The packages of the AWS SDK.
const (
	awsCore    = "github.com/aws/aws-sdk-go-v2/aws"
	awsService = "github.com/aws/aws-sdk-go-v2/service/"
	awsSmithy  = "github.com/aws/smithy-go"
)

// rules are read from top to bottom; the first that matches counts. A package without a rule fails
// the test.
var rules = []rule{
	{"pillarbox", []string{"std"},
		"the words and roles must not drag anything along"},
	{"pillarbox/internal/batch", []string{"std"},
		"pure values: easy to test, easy to trust"},
	{"pillarbox/internal/retry", []string{"std"},
		"pure values: easy to test, easy to trust"},
	{"pillarbox/internal/watchdog", []string{"std"},
		"what is late is noticed without knowing what it is"},
	{"pillarbox/internal/vfs", []string{"std", "golang.org/x/sys/unix", "pillarbox/internal/watchdog"},
		"files know nothing of the domain"},
	{"pillarbox/internal/vfs/faultfs", []string{"std", "pillarbox/internal/vfs"},
		"files know nothing of the domain"},
	{"pillarbox/internal/clock", []string{"std", "golang.org/x/sys/unix", "pillarbox/internal/vfs"},
		"time knows nothing of the domain"},
	{"pillarbox/internal/run", []string{"std"},
		"starting and stopping knows nothing of the domain"},
	{"pillarbox/internal/telemetry", []string{"std"},
		"measures know nothing of the domain, nor of who keeps them"},
	{"pillarbox/internal/telemetry/prom",
		[]string{"std", "pillarbox/internal/telemetry", "github.com/prometheus/*",
			"github.com/prometheus/*/*"},
		"who keeps the measures of a server"},
	{"pillarbox/internal/telemetry/tracetest", []string{"std", "pillarbox/internal/telemetry"},
		"spans in memory, for tests"},
	{"pillarbox/internal/telemetry/otlp",
		[]string{"std", "pillarbox", "pillarbox/internal/telemetry", "github.com/go-logr/logr", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/*", "go.opentelemetry.io/otel/*/*",
			"go.opentelemetry.io/otel/*/*/*", "go.opentelemetry.io/otel/*/*/*/*", "google.golang.org/grpc", "google.golang.org/grpc/credentials", "go.opentelemetry.io/contrib/bridges/prometheus",
			"github.com/prometheus/client_golang/prometheus"},
		"who sends the telemetry of a server; the functions on AWS link none of it"},
	{"pillarbox/internal/socket", []string{"std"},
		"a socket knows nothing of who listens at it"},
	{"pillarbox/internal/config", []string{"std", "github.com/goccy/go-yaml",
		"github.com/goccy/go-yaml/*", "pillarbox/internal/jsontext", "pillarbox", "pillarbox/internal/evidence", "pillarbox/internal/jwt", "pillarbox/internal/preset",
		"pillarbox/internal/proxy", "pillarbox/internal/signature", "pillarbox/internal/socket", "pillarbox/internal/urlpath"},
		"configuration is plain values"},
	{"pillarbox/internal/sourceconfig", []string{"std", "pillarbox/internal/apikey", "pillarbox/internal/config", "pillarbox/internal/jwt",
		"pillarbox/internal/preset", "pillarbox/internal/ratelimit", "pillarbox/internal/source"},
		"configuration is plain values, and sources know none: between them stands one translation, for servers and functions"},
	{"pillarbox/internal/evidence", []string{"std"}, "what is evidence is decided by name alone"},
	{"pillarbox/internal/apikey", []string{"std", "pillarbox", "pillarbox/internal/telemetry",
		"pillarbox/internal/vfs"},
		"a key opens a source or does not, whatever way a request comes"},
	{"pillarbox/internal/atrest", []string{"std", "pillarbox", "pillarbox/internal/telemetry", "pillarbox/internal/vfs"},
		"what is sealed is decided by whoever writes it; who wraps data keys is told from outside"},
	{"pillarbox/internal/atrest/atresttest", []string{"std", "pillarbox/internal/atrest", "pillarbox/internal/vfs"},
		"data keys for tests"},
	{"pillarbox/internal/trail", []string{"std", "pillarbox", "pillarbox/internal/telemetry", "pillarbox/internal/vfs", "pillarbox/internal/atrest"},
		"what people have done is written down by one who knows nothing of it"},
	{"pillarbox/internal/signature", []string{"std", "pillarbox"},
		"who has signed a request is decided from its bytes alone"},
	{"pillarbox/internal/preset", []string{"std", "pillarbox", "pillarbox/internal/protocol",
		"pillarbox/internal/signature"},
		"what senders want is data, and knows no front"},
	{"pillarbox/internal/decode", []string{"std", "github.com/klauspost/compress/*",
		"pillarbox/internal/protocol"},
		"a body is decoded from its bytes alone"},
	{"pillarbox/internal/ratelimit", []string{"std"},
		"how much may come in is counted in time alone"},
	{"pillarbox/internal/rollup", []string{"std", "pillarbox", "pillarbox/internal/telemetry", "pillarbox/internal/vfs"},
		"what is kept of the past is numbers with names, whoever counts them"},
	{"pillarbox/internal/alert", []string{"std", "cel.dev/*", "cel.dev/*/*", "cel.dev/*/*/*", "cel.dev/*/*/*/*", "github.com/goccy/go-yaml", "pillarbox",
		"pillarbox/internal/rollup", "pillarbox/internal/telemetry", "pillarbox/internal/vfs"},
		"what is wrong is told from numbers with names, whoever measures them and whoever is told"},
	{"pillarbox/internal/alert/receiver", []string{"std", "github.com/wneessen/go-mail", "pillarbox", "pillarbox/internal/alert", "pillarbox/internal/engine/webhook"},
		"who is told is reached as destinations are, by their rules of addresses and signatures"},
	{"pillarbox/internal/search", []string{"std", "github.com/tidwall/gjson", "pillarbox", "pillarbox/internal/jsontext"},
		"what a person looks for is decided from the event alone, the same for every engine"},
	{"pillarbox/internal/urlpath", []string{"std", "pillarbox"}, "a path is a value"},
	{"pillarbox/internal/jsontext", []string{"std", "github.com/tidwall/gjson"},
		"a text is changed without knowing whose it is"},
	{"pillarbox/internal/filter", []string{"std", "cel.dev/*", "cel.dev/*/*", "cel.dev/*/*/*", "cel.dev/*/*/*/*", "github.com/tidwall/gjson",
		"pillarbox", "pillarbox/internal/jsontext"},
		"whether an expression takes an event is a matter of the two alone"},
	{"pillarbox/internal/jwt", []string{"std", "github.com/coreos/go-oidc/*/oidc", "github.com/go-jose/go-jose/*",
		"github.com/tidwall/gjson", "golang.org/x/time/rate", "pillarbox/internal/jsontext", "pillarbox", "pillarbox/internal/telemetry"},
		"whom a token is of is decided with the keys of its issuer, whatever way a request comes"},
	{"pillarbox/internal/cloudevent", []string{"std", "github.com/tidwall/gjson", "pillarbox"},
		"what an event says of itself is read from its bytes alone"},
	{"pillarbox/internal/source", []string{"std", "github.com/tidwall/gjson", "pillarbox/internal/jsontext", "pillarbox",
		"pillarbox/internal/apikey", "pillarbox/internal/cloudevent", "pillarbox/internal/decode", "pillarbox/internal/protocol",
		"pillarbox/internal/evidence", "pillarbox/internal/preset", "pillarbox/internal/ratelimit",
		"pillarbox/internal/signature", "pillarbox/internal/telemetry", "pillarbox/internal/urlpath"},
		"a way in is decided about above every front, and knows neither a listener nor an engine"},
	{"pillarbox/internal/destination",
		[]string{"std", "github.com/tidwall/gjson", "pillarbox/internal/jsontext", "pillarbox", "pillarbox/internal/batch", "pillarbox/internal/retry"},
		"a way out is a value, and knows neither a queue nor a sink"},
	{"pillarbox/internal/quarantine", []string{"std", "pillarbox", "pillarbox/internal/telemetry", "pillarbox/internal/vfs", "pillarbox/internal/atrest"},
		"what is kept apart knows its files, and neither who verifies it nor where it goes"},
	{"pillarbox/internal/ingest", []string{"std", "pillarbox", "pillarbox/internal/source",
		"pillarbox/internal/telemetry"},
		"the rules of accepting stand above the engines and below HTTP"},
	{"pillarbox/internal/deliver", []string{"std", "pillarbox", "pillarbox/internal/batch",
		"pillarbox/internal/destination", "pillarbox/internal/retry", "pillarbox/internal/telemetry"},
		"the rules of delivering stand above the engines"},
	{"pillarbox/internal/background", []string{"std", "pillarbox", "pillarbox/internal/atrest", "pillarbox/internal/telemetry", "pillarbox/internal/vfs"},
		"what runs in the background knows nothing of its work"},
	{"pillarbox/internal/replay", []string{"std", "golang.org/x/time/rate", "pillarbox",
		"pillarbox/internal/background", "pillarbox/internal/telemetry"},
		"replaying stands above the engines"},
	{"pillarbox/internal/backfill", []string{"std", "golang.org/x/time/rate", "pillarbox", "pillarbox/internal/background"},
		"back-filling stands above the engines"},
	{"pillarbox/internal/causes", []string{"std", "pillarbox"}, "what failed is counted from letters and deliveries"},
	{"pillarbox/internal/purge", []string{"std", "golang.org/x/time/rate", "pillarbox",
		"pillarbox/internal/background"},
		"purging stands above the engines"},
	{"pillarbox/internal/ledger", []string{"std", "pillarbox", "pillarbox/internal/destination"},
		"the account believes roles, not engines"},
	{"pillarbox/internal/held", []string{"std", "pillarbox", "pillarbox/internal/deliver"},
		"what a person decides stands above the engines, and makes letters as delivering does"},
	{"pillarbox/internal/openapi", []string{"std"},
		"the document of both listeners is of neither"},
	{"pillarbox/internal/intake", []string{"std", "github.com/tidwall/gjson", "pillarbox/internal/jsontext", "pillarbox",
		"pillarbox/internal/admission", "pillarbox/internal/ingest", "pillarbox/internal/openapi",
		"pillarbox/internal/protocol", "pillarbox/internal/proxy", "pillarbox/internal/source", "pillarbox/internal/telemetry"},
		"the public front knows the verb it calls, and no engine"},
	{"pillarbox/internal/adminapi", []string{"std", "pillarbox", "pillarbox/internal/alert", "pillarbox/internal/causes", "pillarbox/internal/backfill", "pillarbox/internal/apikey", "pillarbox/internal/held",
		"pillarbox/internal/ledger", "pillarbox/internal/openapi", "pillarbox/internal/protocol",
		"pillarbox/internal/purge", "pillarbox/internal/quarantine", "pillarbox/internal/replay", "pillarbox/internal/rollup", "pillarbox/internal/search", "pillarbox/internal/telemetry", "pillarbox/internal/trail"},
		"the admin API is served from the views of a node, and knows no engine and no other front"},
	{"pillarbox/internal/canary", []string{"std", "pillarbox", "pillarbox/internal/adminapi", "pillarbox/internal/adminclient",
		"pillarbox/internal/deliver", "pillarbox/internal/posting", "pillarbox/internal/telemetry"},
		"the canary posts as anybody does, asks as an operator does, and hears from the loops what became of its events"},
	{"pillarbox/internal/assistant", []string{"std", "github.com/modelcontextprotocol/go-sdk/mcp", "pillarbox", "pillarbox/internal/adminapi",
		"pillarbox/internal/adminclient"},
		"what an assistant may do is what the client of the admin API can"},
	{"pillarbox/internal/dashboard", []string{"std", "pillarbox", "github.com/tidwall/gjson", "pillarbox/internal/jsontext",
		"pillarbox/internal/protocol", "pillarbox/internal/telemetry"},
		"the pages are a client of the admin API in the same process, and know no other front, no engine and no node"},
	{"pillarbox/internal/adminclient",
		[]string{"std", "pillarbox", "pillarbox/internal/alert", "pillarbox/internal/causes", "pillarbox/internal/backfill", "pillarbox/internal/adminapi", "pillarbox/internal/held",
			"pillarbox/internal/ledger", "pillarbox/internal/openapi",
			"pillarbox/internal/protocol", "pillarbox/internal/purge", "pillarbox/internal/replay",
			"pillarbox/internal/socket", "pillarbox/internal/trail"},
		"the client says what the API says, and declares nothing of it again"},
	{"pillarbox/internal/node", []string{"std", "pillarbox", "pillarbox/internal/alert", "pillarbox/internal/atrest", "pillarbox/internal/adminapi",
		"pillarbox/internal/admission", "pillarbox/internal/canary", "pillarbox/internal/apikey", "pillarbox/internal/certificate", "pillarbox/internal/clock", "pillarbox/internal/deliver",
		"pillarbox/internal/destination", "pillarbox/internal/dashboard", "pillarbox/internal/causes", "pillarbox/internal/backfill", "pillarbox/internal/background", "pillarbox/internal/filter", "pillarbox/internal/express", "pillarbox/internal/opening", "pillarbox/internal/proxy",
		"pillarbox/internal/framing", "pillarbox/internal/held", "pillarbox/internal/ingest",
		"pillarbox/internal/intake", "pillarbox/internal/ledger", "pillarbox/internal/purge",
		"pillarbox/internal/ratelimit", "pillarbox/internal/replay", "pillarbox/internal/rollup", "pillarbox/internal/run", "pillarbox/internal/socket", "pillarbox/internal/source",
		"pillarbox/internal/telemetry", "pillarbox/internal/vfs", "golang.org/x/sys/unix", "pillarbox/internal/trail", "pillarbox/internal/quarantine"},
		"the product, assembled: it gets engines that are open, and knows neither how nor from which configuration"},
	{"pillarbox/internal/admission", []string{"std"},
		"who is let in is decided above no front"},
	{"pillarbox/internal/proxy", []string{"std", "pillarbox", "pillarbox/internal/admission"},
		"who a request is from is decided from addresses and headers alone"},
	{"pillarbox/internal/opening", []string{"std", "pillarbox/internal/admission",
		"pillarbox/internal/proxy"},
		"what stands before HTTP knows no HTTP"},
	{"pillarbox/internal/acme", []string{"std", "pillarbox/internal/certificate", "pillarbox/internal/telemetry",
		"github.com/caddyserver/certmagic", "go.uber.org/zap", "go.uber.org/zap/zapcore"},
		"who makes certificates knows its authority, and no listener"},
	{"pillarbox/internal/certificate", []string{"std", "pillarbox/internal/telemetry"},
		"certificates are files, and know no listener"},
	{"pillarbox/internal/framing", []string{"std", "pillarbox/internal/protocol"},
		"where a request ends is decided once, below both fronts"},
	{"pillarbox/internal/express", []string{"std", "golang.org/x/sys/unix", "pillarbox",
		"pillarbox/internal/admission", "pillarbox/internal/framing", "pillarbox/internal/ingest",
		"pillarbox/internal/opening", "pillarbox/internal/protocol", "pillarbox/internal/proxy", "pillarbox/internal/source", "pillarbox/internal/telemetry",
		"pillarbox/internal/watchdog"},
		"the event loop knows the verb it calls, and neither net/http's side nor any engine"},
	{"pillarbox/internal/protocol", []string{"std", "pillarbox"},
		"what every front answers with is one thing, and no front"},
	{"pillarbox/internal/crashmodel", []string{"std", "pillarbox", "pillarbox/internal/atrest", "pillarbox/internal/engine/seglog",
		"pillarbox/internal/engine/files", "pillarbox/internal/vfs", "pillarbox/internal/vfs/faultfs"},
		"it holds two engines against a disk that loses, and ships with the binary"},
	{"pillarbox/internal/node/nodetest",
		[]string{"std", "github.com/goccy/go-yaml", "github.com/santhosh-tekuri/jsonschema/*",
			"pillarbox/internal/causes", "pillarbox", "pillarbox/internal/backfill", "pillarbox/internal/adminapi", "pillarbox/internal/apikey", "pillarbox/internal/clock",
			"pillarbox/internal/cloudevent", "pillarbox/internal/destination", "pillarbox/internal/engine/memory",
			"pillarbox/internal/held", "pillarbox/internal/jwt", "pillarbox/internal/ledger", "pillarbox/internal/node",
			"github.com/go-jose/go-jose/*",
			"pillarbox/internal/openapi", "pillarbox/internal/preset", "pillarbox/internal/purge",
			"pillarbox/internal/quarantine", "pillarbox/internal/replay", "pillarbox/internal/signature", "pillarbox/internal/source",
			"pillarbox/internal/vfs/faultfs"},
		"a node on engines in memory, for the tests of its fronts"},
	{"pillarbox/internal/sim", []string{"std", "pillarbox", "pillarbox/internal/backfill", "pillarbox/internal/background", "pillarbox/internal/batch",
		"pillarbox/internal/clock", "pillarbox/internal/destination", "pillarbox/internal/retry",
		"pillarbox/internal/ingest", "pillarbox/internal/node", "pillarbox/internal/replay",
		"pillarbox/internal/run", "pillarbox/internal/source", "pillarbox/internal/engine/seglog",
		"pillarbox/internal/engine/files", "pillarbox/internal/vfs/faultfs"},
		"it builds the node that users run, on a disk that loses"},
	{"pillarbox/internal/torture", []string{"std", "github.com/prometheus/procfs",
		"pillarbox/internal/atrest", "pillarbox/internal/engine/catalog", "pillarbox/internal/crashmodel", "github.com/ncruces/go-sqlite3/driver", "pillarbox",
		"pillarbox/internal/ledger", "pillarbox/internal/replay", "pillarbox/internal/adminapi",
		"pillarbox/internal/adminclient", "pillarbox/internal/engine/files",
		"pillarbox/internal/engine/sqlite", "pillarbox/internal/vfs"},
		"it breaks a binary from outside, and reads with the engines what is left"},
	{"pillarbox/internal/engine/enginetest", []string{"std", "pillarbox"},
		"a suite sees an engine through its role only"},
	{"pillarbox/internal/engine/catalog",
		[]string{"std", "pillarbox", "pillarbox/internal/apikey", "pillarbox/internal/atrest", "pillarbox/internal/vfs", "pillarbox/internal/awshttp", "pillarbox/internal/bus",
			"pillarbox/internal/engine/*", "filippo.io/age", awsCore, awsCore + "/*", awsCore + "/*/*",
			"github.com/aws/aws-sdk-go-v2/config", awsService + "*", awsService + "kms/types"},
		"the one place that knows all engines"},
	{"pillarbox/internal/engine/memory", []string{"std", "pillarbox", "pillarbox/internal/search"},
		"the engine that all tests can afford"},
	{"pillarbox/internal/keyindex",
		[]string{"std", "pillarbox", "pillarbox/internal/telemetry", "pillarbox/internal/vfs", "pillarbox/internal/atrest"},
		"the index of keys knows its files, and is told by the log"},
	{"pillarbox/internal/engine/seglog",
		[]string{"std", "pillarbox", "pillarbox/internal/atrest", "pillarbox/internal/keyindex", "pillarbox/internal/telemetry",
			"pillarbox/internal/vfs", "pillarbox/internal/watchdog"},
		"an engine knows its role, its files and no other engine"},
	{"pillarbox/internal/deadletterfile", []string{"std", "pillarbox"},
		"the form of a dead letter is the same wherever it is kept"},
	{"pillarbox/internal/engine/files",
		[]string{"std", "pillarbox", "pillarbox/internal/atrest", "pillarbox/internal/deadletterfile", "pillarbox/internal/telemetry",
			"pillarbox/internal/vfs"},
		"an engine knows its role, its files and no other engine"},
	{"pillarbox/internal/requestid", []string{"std", "pillarbox"},
		"what an id tells is the same for every store"},
	{"pillarbox/internal/engine/postgres",
		[]string{"std", "pillarbox", "pillarbox/internal/jsontext", "pillarbox/internal/requestid", "pillarbox/internal/search", "pillarbox/internal/telemetry", "github.com/jackc/pgx/v5",
			"github.com/jackc/pgx/v5/*"},
		"an engine knows its role, its driver and no other engine"},
	{"pillarbox/internal/engine/webhook",
		[]string{"std", "pillarbox", "pillarbox/internal/evidence", "pillarbox/internal/signature", "golang.org/x/net/http/httpguts",
			"golang.org/x/oauth2", "golang.org/x/oauth2/clientcredentials", "golang.org/x/time/rate"},
		"an engine knows its role, how requests are signed and no other engine"},
	{"pillarbox/internal/bus",
		[]string{"std", "pillarbox", "pillarbox/internal/cloudevent", "pillarbox/internal/jsontext", "github.com/tidwall/gjson",
			"golang.org/x/net/http/httpguts"},
		"what is sent of an event is decided without knowing the broker"},
	{"pillarbox/internal/engine/nats",
		[]string{"std", "pillarbox", "pillarbox/internal/bus", "pillarbox/internal/telemetry", "github.com/nats-io/nats.go",
			"github.com/nats-io/nats.go/jetstream", "github.com/nats-io/nkeys"},
		"an engine knows its role, its driver and no other engine"},
	{"pillarbox/internal/engine/kafka",
		[]string{"std", "pillarbox", "pillarbox/internal/bus", "pillarbox/internal/telemetry", "github.com/twmb/franz-go/pkg/*",
			"github.com/twmb/franz-go/pkg/sasl/*"},
		"an engine knows its role, its driver and no other engine"},
	{"pillarbox/internal/engine/parquet",
		[]string{"std", "pillarbox", "pillarbox/internal/requestid", "pillarbox/internal/search", "pillarbox/internal/telemetry", "pillarbox/internal/vfs",
			"github.com/parquet-go/parquet-go",
			"github.com/parquet-go/parquet-go/*", "github.com/parquet-go/parquet-go/*/*"},
		"an engine knows its role, its files, its library and no other engine"},
	{"pillarbox/internal/engine/sqlite",
		[]string{"std", "pillarbox", "pillarbox/internal/requestid", "pillarbox/internal/search", "pillarbox/internal/telemetry", "github.com/ncruces/*",
			"github.com/ncruces/*/*", "github.com/ncruces/*/*/*"},
		"an engine knows its role, its driver and no other engine"},
	{"pillarbox/internal/sqsrules", []string{"std", "pillarbox"},
		"the rules for messages of SQS hold for the engine and for functions, which link no SDK for them"},
	{"pillarbox/internal/engine/sqs", []string{"std", "pillarbox", "pillarbox/internal/sqsrules",
		"pillarbox/internal/telemetry", awsCore, awsSmithy, awsService + "sqs", awsService + "sqs/*"},
		"an engine knows its role, its SDK and no other engine"},
	{"pillarbox/internal/engine/dynamodb",
		[]string{"std", "pillarbox", "pillarbox/internal/search", "pillarbox/internal/telemetry", "golang.org/x/sync/*", awsCore,
			awsCore + "/*", awsSmithy, awsSmithy + "/*/*", awsService + "dynamodb", awsService + "dynamodb/*"},
		"an engine knows its role, its SDK and no other engine"},
	{"pillarbox/internal/engine/s3", []string{"std", "pillarbox", "pillarbox/internal/deadletterfile", "pillarbox/internal/vfs",
		"pillarbox/internal/telemetry", awsCore, awsSmithy, awsService + "s3", awsService + "s3/*"},
		"an engine knows its role, its SDK and no other engine"},
	{"pillarbox/internal/awshttp", []string{"std", awsCore},
		"it mends the SDK, for whoever makes its clients"},
	{"pillarbox/internal/xray", []string{"std", "pillarbox/internal/telemetry", awsCore, awsCore + "/*",
		"github.com/aws/smithy-go", "github.com/aws/smithy-go/*", "github.com/aws/smithy-go/*/*"},
		"it looks at the calls of the SDK, and knows no service"},
	{"pillarbox/internal/lambda", []string{"std", "pillarbox/internal/xray", "pillarbox", "pillarbox/internal/ingest",
		"pillarbox/internal/deliver", "pillarbox/internal/destination", "pillarbox/internal/retry",
		"pillarbox/internal/source", "pillarbox/internal/telemetry", "pillarbox/internal/protocol",
		"pillarbox/internal/sqsrules", "github.com/aws/aws-lambda-go/*"},
		"shapes of events, and the verbs it calls; no engine, so that a function links only what its role needs"},
	{"pillarbox/internal/lambda/door", []string{"std", "pillarbox", "pillarbox/internal/apikey", "pillarbox/internal/config", "pillarbox/internal/jwt",
		"pillarbox/internal/source", "pillarbox/internal/sourceconfig", "pillarbox/internal/telemetry"},
		"rules of sources, and whom to ask for the rest; no engine, and apart from the functions that accept nothing"},
	{"pillarbox/cmd/pillarbox-lambda",
		[]string{"*/*/*/*/*/*", "*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*", "std"},
		"the one place that wires"},
	{"pillarbox/cmd/pillarbox", []string{"*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*", "std"},
		"the one place that wires"},
	{"pillarbox/internal/stack", []string{"std"},
		"it runs Go and Terraform, and calls nothing of AWS"},
	{"pillarbox/internal/load", []string{"std", "golang.org/x/sys/unix", "pillarbox/internal/opening"},
		"a generator of requests knows nothing of what it measures"},
	{"pillarbox/internal/console", []string{"std", "pillarbox", "pillarbox/internal/alert", "pillarbox/internal/backfill", "pillarbox/internal/causes", "pillarbox/internal/atrest", "pillarbox/internal/adminapi",
		"pillarbox/internal/held", "pillarbox/internal/ledger", "pillarbox/internal/posting",
		"pillarbox/internal/protocol", "pillarbox/internal/purge", "pillarbox/internal/replay", "pillarbox/internal/trail"},
		"it shows what it is given"},
	{"pillarbox/internal/forward", []string{"std", "golang.org/x/net/http/httpguts", "pillarbox"},
		"it sends what it is given, and asks no server"},
	{"pillarbox/internal/watch", []string{"std", "charm.land/bubbletea/v2", "github.com/charmbracelet/x/ansi", "pillarbox",
		"pillarbox/internal/adminapi", "pillarbox/internal/console", "pillarbox/internal/ledger"},
		"it shows what it is given, again and again"},
	{"pillarbox/internal/posting", []string{"std", "golang.org/x/term", "pillarbox",
		"pillarbox/internal/adminapi", "pillarbox/internal/adminclient", "pillarbox/internal/ledger"},
		"it posts as any client does, and asks the admin API what became of it"},
	{"pillarbox/internal/benchmark", []string{"std", "github.com/prometheus/procfs",
		"golang.org/x/sys/unix", "pillarbox/internal/load", "pillarbox/internal/torture"},
		"it talks HTTP to processes, and knows no engine"},
	{"pillarbox/internal/benchmark/turns", []string{"std"},
		"two ways to do the same take turns, whatever they are"},
	{"pillarbox/bench", []string{"std", "pillarbox/internal/benchmark/turns", "github.com/ncruces/go-sqlite3",
		"github.com/ncruces/go-sqlite3/driver", "pillarbox/internal/benchmark",
		"pillarbox/internal/ledger", "pillarbox/internal/load", "pillarbox/internal/torture",
		"pillarbox", "pillarbox/internal/engine/seglog", "pillarbox/internal/source", "pillarbox/internal/vfs"},
		"it talks HTTP to processes; the driver is a yardstick of its own, and a log with ten million keys is written at once"},
	{"pillarbox/test/pgserver", []string{"std", "github.com/jackc/pgx/v5"},
		"a server for tests, and its own client"},
	{"pillarbox/test/standin/mailbox", []string{"std", "github.com/emersion/*"}, "a server of SMTP for tests"},
	{"pillarbox/test/standin/*", []string{"std", "pillarbox/test/standin/awsjson"},
		"a stand-in for a service knows its protocol, and nothing of who talks to it"},
	{"pillarbox/test/*", []string{"std", "pillarbox", "pillarbox/internal/*",
		"pillarbox/internal/*/*"},
		"tests of the real binary"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// TestEverybodyImportsOnlyWhatTheyMay holds the packages to the table, and keeps others from
// importing cmd.
func TestEverybodyImportsOnlyWhatTheyMay(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < len(rules)-2 {
		t.Fatalf("only %d packages were listed", len(packages))
	}
	for _, pkg := range packages {
		r, ok := ruleFor(pkg.ImportPath)
		if !ok {
			t.Errorf("%s has no rule: add one with its reason", pkg.ImportPath)
			continue
		}
		for _, imported := range pkg.Imports {
			if strings.HasPrefix(imported, "pillarbox/cmd/") {
				t.Errorf("%s imports %s: nothing may import a command", pkg.ImportPath, imported)
			}
			if !allowed(r, imported) {
				t.Errorf("%s imports %s, and may not: %s", pkg.ImportPath, imported, r.why)
			}
		}
	}
}

func ruleFor(name string) (rule, bool) {
	for _, r := range rules {
		if ok, err := path.Match(r.packages, name); ok && err == nil {
			return r, true
		}
	}
	return rule{}, false
}

func allowed(r rule, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	standard := !strings.Contains(first, ".") && first != "pillarbox"
	for _, pattern := range r.may {
		if pattern == "std" && standard {
			return true
		}
		if ok, err := path.Match(pattern, imported); ok && err == nil && !standard {
			return true
		}
	}
	return false
}

func list(t *testing.T, pattern string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", pattern).Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var pkg goPackage
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, pkg)
	}
}
