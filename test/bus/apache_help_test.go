package bus_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// jarsVariable names the directory with Apache Kafka; test/bus/kafka.sh sets it.
const jarsVariable = "PILLARBOX_TEST_KAFKA_JARS"

// apache is one node of Apache Kafka, broker and controller, in a process of its own. Clients come
// to it through a front, which cuts connections where a test wants it.
type apache struct {
	dir, jars string
	address   string // of the broker itself
	front     *cutter
	running   *exec.Cmd
	log       *os.File
}

// startApache makes a cluster and starts it.
func startApache(t *testing.T) *apache {
	t.Helper()
	jars := os.Getenv(jarsVariable)
	switch {
	case jars == "" && os.Getenv("CI") != "":
		t.Fatalf("%s is not set: run the tests by test/bus/kafka.sh", jarsVariable)
	case jars == "":
		t.Skipf("%s is not set: run the tests by test/bus/kafka.sh", jarsVariable)
	}
	a := &apache{dir: t.TempDir(), jars: jars, address: freeAddress(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.front = &cutter{Listener: listener, most: new(atomic.Int64), cuts: new(atomic.Int64), rng: rand.New(rand.NewPCG(13, 0))}
	if a.log, err = os.Create(filepath.Join(a.dir, "log")); err != nil {
		t.Fatal(err)
	}
	controller := freeAddress(t)
	settings := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[1]s
listeners=PLAINTEXT://%[2]s,CONTROLLER://%[1]s
advertised.listeners=PLAINTEXT://%[3]s
controller.listener.names=CONTROLLER
log.dirs=%[4]s
num.partitions=3
`, controller, a.address, listener.Addr(), filepath.Join(a.dir, "data"))
	if err := os.WriteFile(a.settings(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := a.java("kafka.tools.StorageTool", "format", "-t", "cGlsbGFyYm94LWtyYWZ0LQ", "-c", a.settings()).CombinedOutput(); err != nil {
		t.Fatalf("format the directory of the broker: %v: %s", err, out)
	}
	var relaying sync.WaitGroup
	relaying.Go(func() { relay(a.front, a.address) })
	t.Cleanup(func() {
		_ = listener.Close()
		a.kill(t)
		relaying.Wait()
		_ = a.log.Close()
	})
	a.start(t)
	return a
}

func (a *apache) settings() string { return filepath.Join(a.dir, "server.properties") }

func (a *apache) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(a.jars, "*")}, args...)...)
}

// start starts the broker, and waits until it answers.
func (a *apache) start(t *testing.T) {
	t.Helper()
	a.running = a.java("kafka.Kafka", a.settings())
	a.running.Stdout, a.running.Stderr = a.log, a.log
	if err := a.running.Start(); err != nil {
		t.Fatal(err)
	}
	ready := func() error {
		out, err := exec.Command("kcat", "-b", a.address, "-L", "-m", "1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(a.log.Name())
			t.Fatalf("the broker does not answer: %v\n%s", err, text)
		}
	}
}

// kill ends the broker as a power cut of its machine would, but for the page cache.
func (a *apache) kill(t *testing.T) {
	t.Helper()
	if a.running == nil {
		return
	}
	if err := a.running.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = a.running.Wait() // it was killed
	a.running = nil
}

func (a *apache) url(topic string) string {
	return "kafka://" + a.front.Addr().String() + "/" + topic
}

// relay hands connections on to an address, until the listener is closed.
func relay(from net.Listener, to string) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := from.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer conn.Close()
			behind, err := net.Dial("tcp", to)
			if err != nil {
				return // the broker is down, and so is the connection
			}
			defer behind.Close()
			var back sync.WaitGroup
			back.Go(func() {
				_, _ = io.Copy(conn, behind)
				_ = conn.Close()
			})
			_, _ = io.Copy(behind, conn)
			_ = behind.Close()
			back.Wait()
		})
	}
}

// admin asks the broker to do something.
func (a *apache) admin(t *testing.T, request kmsg.Request) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(a.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Request(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

// makeTopic with settings of its own.
func (a *apache) makeTopic(t *testing.T, name string, settings map[string]string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 3, 1
	for key, value := range settings {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, &value
		topic.Configs = append(topic.Configs, config)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	a.admin(t, request)
}

// lower has the topic take less.
func (a *apache) lower(t *testing.T, topic, maxBytes string) {
	t.Helper()
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "max.message.bytes", &maxBytes
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	a.admin(t, request)
}

func (a *apache) deleteTopic(t *testing.T, name string) {
	t.Helper()
	request := kmsg.NewPtrDeleteTopicsRequest()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	request.Topics, request.TopicNames = append(request.Topics, topic), []string{name}
	a.admin(t, request)
}

// read has kcat read all that a topic holds. Values of headers with a comma come as several.
func (a *apache) read(t *testing.T, topic string) (all []*kgo.Record) {
	t.Helper()
	ctx, cancel := contextOf(t, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", "-b", a.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", `%p %K %S\n%h\n%k%s\n`)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat: %v: %s", err, complaints.String())
	}
	reader := bufio.NewReader(bytes.NewReader(out))
	for {
		line, err := reader.ReadString('\n')
		if err == io.EOF {
			return all
		}
		record := &kgo.Record{}
		var key, value int
		if _, err := fmt.Sscan(line, &record.Partition, &key, &value); err != nil {
			t.Fatalf("what kcat wrote: %q: %v", line, err)
		}
		headers, err := reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.SplitSeq(strings.TrimSuffix(headers, "\n"), ",") {
			name, text, _ := strings.Cut(field, "=")
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(text)})
		}
		bytes := make([]byte, max(key, 0)+max(value, 0)+1) // -1 is none
		if _, err := io.ReadFull(reader, bytes); err != nil {
			t.Fatal(err)
		}
		if key >= 0 {
			record.Key = bytes[:key]
		}
		record.Value = bytes[max(key, 0) : len(bytes)-1]
		all = append(all, record)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
