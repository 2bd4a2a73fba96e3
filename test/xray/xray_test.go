// Package xray_test has the real binary send its traces to OpenTelemetry's collector, with the
// configuration of the collector that is in deploy/otel, and a stand-in for AWS X-Ray behind it. It is a
// module of its own, since nothing else needs the collector or its exporter.
package xray_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/awsxrayexporter"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

// patience bounds every wait for a condition; it is no measure of speed.
const patience = 2 * time.Minute

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// segment is what X-Ray is told of a span, as far as it is looked at:
// https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
type segment struct {
	Name        string         `json:"name"`
	ID          string         `json:"id"`
	ParentID    string         `json:"parent_id"`
	TraceID     string         `json:"trace_id"`
	Annotations map[string]any `json:"annotations"`
	HTTP        struct {
		Response struct {
			Status int `json:"status"`
		} `json:"response"`
	} `json:"http"`
}

// service stands in for AWS X-Ray: it keeps what PutTraceSegments is given.
type service struct {
	*httptest.Server

	mu       sync.Mutex
	segments map[string]segment // by name
	signed   bool
}

func openService(t *testing.T) *service {
	s := &service{segments: map[string]segment{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(s.Close)
	return s
}

func (s *service) take(w http.ResponseWriter, r *http.Request) {
	var call struct{ TraceSegmentDocuments []string }
	if r.URL.Path == "/TraceSegments" {
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, document := range call.TraceSegmentDocuments {
		var one segment
		if err := json.Unmarshal([]byte(document), &one); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.segments[one.Name] = one
		s.signed = strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	}
	_, _ = io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
}

func (s *service) all() map[string]segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]segment, len(s.segments))
	for name, one := range s.segments {
		all[name] = one
	}
	return all
}

func (s *service) isSigned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed
}

// openCollector runs the collector as it is deployed, apart from its addresses; it returns where it
// takes OTLP.
func openCollector(t *testing.T, xray *service) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	address := free(t)
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(), Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{
				"file:" + filepath.Join("..", "..", "deploy", "otel", "collector.yaml"),
				"yaml:receivers::otlp::protocols::http::endpoint: " + address,
				"yaml:receivers::otlp::protocols::grpc::endpoint: " + free(t),
				"yaml:exporters::awsxray::endpoint: " + xray.URL,
				"yaml:service::telemetry::metrics::level: none",
			},
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), yamlprovider.NewFactory()},
		}},
	})
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(t.Context()) }()
	t.Cleanup(func() {
		collector.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the collector runs", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the collector has ended: %v", err)
		default:
		}
		return collector.GetState() == otelcol.StateRunning
	})
	return address
}

func factories() (all otelcol.Factories, err error) {
	all.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return all, err
	}
	all.Processors, err = otelcol.MakeFactoryMap[processor.Factory](batchprocessor.NewFactory(), memorylimiterprocessor.NewFactory())
	if err != nil {
		return all, err
	}
	all.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](awsxrayexporter.NewFactory())
	return all, err
}

// serve runs the real binary, which sends its traces to the collector; it returns its public address.
func serve(t *testing.T, collector string) string {
	t.Helper()
	dir, public, admin := t.TempDir(), free(t), free(t)
	binary := filepath.Join(dir, "pillarbox")
	build := exec.Command("go", "build", "-o", binary, "./cmd/pillarbox")
	build.Dir = filepath.Join("..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	file := filepath.Join(dir, "pillarbox.yaml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `
listen: %q
admin: { listen: %q }
data: %q
tracing: { ratio: 1, otlp: { endpoint: "http://%s" } }
`, public, admin, filepath.Join(dir, "data"), collector), 0o600))
	command := exec.Command(binary, "serve", "--config", file)
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(t, "ready", func() bool {
		answer, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return public
}

// The sender's, and how X-Ray writes it: the first eight digits are a time of which it is told nothing.
const (
	senderTrace = "5759e988bd862e3fe1be46a994272793"
	senderSpan  = "53995c3f42cd8ad8"
	xrayTrace   = "1-5759e988-bd862e3fe1be46a994272793"
)

// TestATraceIsInXRay follows one event through the collector: the request, its append and its delivery are
// segments of the sender's trace, and can be searched for by the event's id.
func TestATraceIsInXRay(t *testing.T) {
	xray := openService(t)
	public := serve(t, openCollector(t, xray))
	request, err := http.NewRequest(http.MethodPost, "http://"+public+"/app", strings.NewReader(`{"n":1}`))
	must(t, err)
	request.Header.Set("Traceparent", "00-"+senderTrace+"-"+senderSpan+"-01")
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	var receipt struct {
		RequestID string `json:"request_id"`
	}
	must(t, json.NewDecoder(answer.Body).Decode(&receipt))
	eventually(t, "the segments", func() bool { return len(xray.all()) >= 4 })
	checkSegments(t, xray.all(), receipt.RequestID)
	if !xray.isSigned() {
		t.Error("the calls are not signed")
	}
}

func checkSegments(t *testing.T, all map[string]segment, id string) {
	t.Helper()
	door, appended, delivered := all["pillarbox"], all["append"], all["deliver events"]
	if _, found := all["deliver events batch"]; !found || len(all) != 4 {
		t.Errorf("there are the segments %+v", all)
	}
	if door.ParentID != senderSpan || door.HTTP.Response.Status != http.StatusAccepted ||
		door.Annotations["pillarbox.request_id"] != id {
		t.Errorf("the request is told as %+v, want it beneath %s, answered with 202, and found by %s", door, senderSpan, id)
	}
	for name, one := range map[string]segment{"pillarbox": door, "append": appended, "deliver events": delivered} {
		if one.TraceID != xrayTrace || name != "pillarbox" && one.ParentID != door.ID {
			t.Errorf("%s is beneath %q of %q, want %q of %q", name, one.ParentID, one.TraceID, door.ID, xrayTrace)
		}
	}
	if delivered.Annotations["pillarbox.outcome"] != "stored" {
		t.Errorf("the delivery is told as %+v, want it stored", delivered)
	}
}
