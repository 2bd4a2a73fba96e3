package express_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/express"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

// TestAmbiguousFramingIsNeverTaken sends requests that two servers in a row could read in two ways, alone, in
// pieces and behind a good one, with a second request smuggled behind each. Nothing of them is stored, whoever
// answers.
func TestAmbiguousFramingIsNeverTaken(t *testing.T) {
	const start = "POST /app HTTP/1.1\r\nHost: a\r\n"
	const smuggled = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsmuggled"
	var corpus []string
	lengths := []string{"3, 3", "3,4", "+3", "-3", "0x3", " 3 3", "3a", "", "\x0b3", "3\x00", "3.0", "1e0", "99999999999999999999", "٣", "\"3\"", "3;a"}
	for _, length := range lengths {
		corpus = append(corpus, start+"Content-Length: "+length+"\r\n\r\nabc")
	}
	codings := []string{"chunked", " chunked", "Chunked", "identity", "chunked, chunked", "chunked, identity", "identity, chunked", "xchunked", "\"chunked\"", "chunked;a=b", "\x0bchunked", "cow"}
	for _, coding := range codings {
		corpus = append(corpus,
			start+"Content-Length: 3\r\nTransfer-Encoding: "+coding+"\r\n\r\n0\r\n\r\n",
			start+"Transfer-Encoding: "+coding+"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
			"POST /app HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: "+coding+"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
			start+"transfer-encoding:"+coding+"\r\ncontent-length:3\r\n\r\n0\r\n\r\n",
		)
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "X-A", "Host"} {
		for _, line := range []string{"%s : 3", "%s\t: 3", " %s: 3", "\t%s: 3", "%s\x00: 3", "%s\x0b: 3", "\x0b%s: 3", "%s", "%s 3", "%s:\r3", "%s: 3\rX: y", "(%s): 3", "%s\xc3\xa9: 3", "%s: \x003", "%s: \x7f", "%s: 3\n", "%s: a\r\n b", "%s: a\r\n\tb", "%s: a\n b"} {
			corpus = append(corpus, start+fmt.Sprintf(line, name)+"\r\nContent-Length: 3\r\n\r\nabc", start+"Content-Length: 3\r\n"+fmt.Sprintf(line, name)+"\r\n\r\nabc")
		}
	}
	corpus = append(corpus,
		start+"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", start+"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		start+"Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc", start+"Host: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
		start+"Content-Length: 3\n\r\nabc", start+"Content-Length: 3\r\n\nabc", start+"Content-Length: 3\r\r\n\r\nabc",
		"POST /app HTTP/1.1\r\n Host: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1\r\n\r\n", start+": 3\r\n\r\n",
		"POST /app HTTP/1.1 \r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST  /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app\tHTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app http/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app HTTP/01.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/2.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app\x00 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", " POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		start+strings.Repeat("X: y\r\n", 100)+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		start+"X: "+strings.Repeat("x", 10_000)+"\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /%61pp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	)
	b := open(t, express.Options{})
	good := 0
	for _, request := range corpus {
		for _, before := range []string{"", post("good")} {
			c := b.dial()
			go func() { _, _ = io.WriteString(c, before+request+smuggled) }()
			if before != "" {
				c.wants(http.StatusAccepted)
				good++
			}
			if a, err := c.tryAnswer(); err == nil && a.StatusCode < 300 {
				t.Errorf("%.200q is answered with %d", request, a.StatusCode)
			}
			c.Close()
		}
	}
	for _, body := range b.bodies() {
		if good--; body != "good" {
			t.Errorf("stored %q", body)
		}
	}
	if good != 0 {
		t.Errorf("%d good ones too many or too few", good)
	}
	t.Logf("%d requests", 2*len(corpus))
}

// TestRefusalIsAProblem has the form of every other error.
func TestRefusalIsAProblem(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial().send("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
	a := c.wants(http.StatusBadRequest)
	if a.Header.Get("Content-Type") != "application/problem+json" || !a.Close || !strings.Contains(a.body, "Content-Length stands more than once") {
		t.Errorf("answer %v %q", a.Header, a.body)
	}
	c.wantEnd()
}

// TestMetricsAreThoseOfNetHTTP counts every answer, and nothing stays in flight.
func TestMetricsAreThoseOfNetHTTP(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := prepare(t)
	b.routes.Store(&map[string]*express.Route{"/app": {Source: "app", MaxBody: testMaxBody, Metrics: telemetry.NewMetrics(prom.Keep(registry)).Route("/app")}})
	b.start(express.Options{})
	c := b.dial()
	for range 3 {
		c.send(post("a") + post("b")).wants(http.StatusAccepted)
		c.wants(http.StatusAccepted)
	}
	c.send("POST /app HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").wants(http.StatusBadRequest)
	for name, want := range map[string]float64{
		"pillarbox_http_requests_total 202 POST /app": 6, "pillarbox_http_requests_total 400 POST /app": 1,
		"pillarbox_http_request_seconds /app": 7, "pillarbox_http_requests_in_flight": 0,
	} {
		eventually(t, fmt.Sprintf("%s is %v", name, want), func() bool { return gather(t, registry)[name] == want })
	}
}

// gather returns counters, gauges and the counts of histograms, by their names and labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += " " + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return got
}
