package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node"
	"pillarbox/internal/protocol"
	"pillarbox/internal/stack"
)

// Limits of a load.
const (
	maxPosts       = 1_000_000_000
	maxConcurrency = 10_000
	postTimeout    = 60 * time.Second
)

// postFlags are the flags of the command.
type postFlags struct {
	body        string
	file        string
	contentType string
	headers     []string
	n           int
	rate        float64
	concurrency int
	receipts    string
	stack       string
	form        string
}

func newPostCommand(global *globalFlags) *cobra.Command {
	flags := &postFlags{}
	command := &cobra.Command{
		Use:   "post [URL]",
		Short: "Send one event, a file, or a load with -n, --rate and --concurrency",
		Long: `Send events to a running server: to the URL, to the stack on AWS that --stack names, or to the first
source of the configuration. Where no server listens there, and a stack was deployed, that one gets them.
The body is
--body, --file (- is standard input), or standard input where it is not a terminal. With -n, the
same body is sent n times, or a small JSON object with a running number where no body is given.
The receipts can be kept with --receipts, one a line, to compare them with what is stored. A URL that ends
in /batch takes a batch as the body (--content-type application/x-ndjson, or a JSON array).`,
		Example: `  pillarbox post --body '{"hello":"world"}'
  pillarbox post http://localhost:8080/app --file photo.jpg --content-type image/jpeg
  pillarbox post -n 100000 --concurrency 64 --receipts receipts.ndjson
  pillarbox post -n 10000 --rate 1000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("post takes one URL, and got %d", len(args))}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error { return post(command, global, flags, args) },
	}
	set := command.Flags()
	set.StringVar(&flags.body, "body", "", "text to send")
	set.StringVar(&flags.file, "file", "", "file to send; - is standard input")
	set.StringVar(&flags.contentType, "content-type", "", "Content-Type (default application/json for JSON, else application/octet-stream)")
	set.StringArrayVarP(&flags.headers, "header", "H", nil, "header to send, as \"Name: value\"; may be repeated")
	set.IntVarP(&flags.n, "number", "n", 1, "how many events to send")
	set.Float64Var(&flags.rate, "rate", 0, "events per second (default as fast as it goes)")
	set.IntVar(&flags.concurrency, "concurrency", 16, "connections of a load")
	set.StringVar(&flags.stack, "stack", "", "send to this stack on AWS, deployed with \"pillarbox deploy\"")
	set.StringVar(&flags.receipts, "receipts", "", "file for the receipts, one JSON object a line")
	outputFlag(command, &flags.form)
	return command
}

func (f *postFlags) check() error {
	switch {
	case f.n < 1 || f.n > maxPosts:
		return usageError{fmt.Errorf("-n %d: want 1 to %d", f.n, maxPosts)}
	case f.concurrency < 1 || f.concurrency > maxConcurrency:
		return usageError{fmt.Errorf("--concurrency %d: want 1 to %d", f.concurrency, maxConcurrency)}
	case f.rate < 0:
		return usageError{fmt.Errorf("--rate %v: want 0 or more", f.rate)}
	case f.body != "" && f.file != "":
		return usageError{errors.New("--body and --file can't be used together")}
	}
	return checkForm(f.form)
}

func post(command *cobra.Command, global *globalFlags, flags *postFlags, args []string) error {
	if err := flags.check(); err != nil {
		return err
	}
	url, err := postURL(command, global, flags, args)
	if err != nil {
		return err
	}
	body, given, err := flags.read(command.InOrStdin())
	if err != nil {
		return err
	}
	header, err := flags.header(body, given)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	sender := &sender{url: url, header: header, poster: &adminclient.Poster{HTTP: &http.Client{Timeout: postTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: flags.concurrency}}}}
	if flags.n == 1 {
		return postOne(ctx, command.OutOrStdout(), flags, sender, body)
	}
	return postLoad(ctx, command, flags, sender, body, given)
}

// postURL is the argument, the stack's, or that of the first source of the configuration.
func postURL(command *cobra.Command, global *globalFlags, flags *postFlags, args []string) (string, error) {
	switch {
	case len(args) == 1 && flags.stack != "":
		return "", usageError{errors.New("a URL and --stack can't be used together")}
	case len(args) == 1:
		if !strings.HasPrefix(args[0], "http://") && !strings.HasPrefix(args[0], "https://") {
			return "", usageError{fmt.Errorf("%q is no URL; it begins with http:// or https://", args[0])}
		}
		return args[0], nil
	case flags.stack != "":
		outputs, err := deployed(flags.stack)
		if err != nil {
			return "", usageError{err}
		}
		return outputs.URL, nil
	}
	cfg, err := global.load()
	if err != nil {
		return "", err
	}
	address := node.DisplayAddress(cfg.Listen.Address)
	if outputs, err := deployed(""); err == nil && global.configPath == "" && !global.changed("listen") && !listens(address) {
		fmt.Fprintf(command.ErrOrStderr(), "no server listens at %s; sending to the stack %s at %s\n", address, outputs.Name, outputs.URL)
		return outputs.URL, nil
	}
	first := slices.Min(slices.Collect(maps.Keys(cfg.Sources)))
	return "http://" + address + cfg.Sources[first].Path, nil
}

// deployed finds a stack that was deployed by this user; an empty name is the only one.
func deployed(name string) (stack.Outputs, error) {
	records, err := stack.UserRecords()
	if err != nil {
		return stack.Outputs{}, err
	}
	return records.Get(name)
}

// listens reports whether somebody takes connections at the address.
func listens(address string) bool {
	connection, err := net.DialTimeout("tcp", address, lookTime)
	if err != nil {
		return false
	}
	return connection.Close() == nil
}

// read returns the body, and whether one was given.
func (f *postFlags) read(stdin io.Reader) (body []byte, given bool, err error) {
	switch {
	case f.body != "":
		return []byte(f.body), true, nil
	case f.file == "-":
		body, err = io.ReadAll(stdin)
		return body, true, err
	case f.file != "":
		body, err = os.ReadFile(f.file)
		return body, true, err
	case f.n > 1:
		return nil, false, nil
	}
	if file, ok := stdin.(*os.File); ok {
		info, err := file.Stat()
		if err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return nil, false, usageError{errors.New("nothing to send: use --body, --file, or standard input")}
		}
	}
	body, err = io.ReadAll(stdin)
	return body, true, err
}

func (f *postFlags) header(body []byte, given bool) (http.Header, error) {
	header := http.Header{}
	for _, line := range f.headers {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "" {
			return nil, usageError{fmt.Errorf("--header %q: want \"Name: value\"", line)}
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	switch {
	case f.contentType != "":
		header.Set("Content-Type", f.contentType)
	case header.Get("Content-Type") != "":
	case !given || json.Valid(body):
		header.Set("Content-Type", "application/json")
	default:
		header.Set("Content-Type", "application/octet-stream")
	}
	return header, nil
}

// sender posts bodies to one URL.
type sender struct {
	url    string
	header http.Header
	poster *adminclient.Poster
}

// answer is what came back for one body.
type answer struct {
	adminclient.Posted
	refusal string // why it was not accepted
	err     error  // no answer that can be read: unless unreached, whether it was accepted is unknown
}

func (s *sender) send(ctx context.Context, body []byte) answer {
	posted, err := s.poster.Post(ctx, s.url, "", body, s.header)
	var refused *adminclient.ProblemError
	if errors.As(err, &refused) {
		return answer{Posted: posted, refusal: refused.Error()}
	}
	a := answer{Posted: posted, err: err}
	if n := a.rejected(); n > 0 {
		first := slices.IndexFunc(a.Items, func(item adminclient.Posted) bool { return item.Err != nil })
		a.refusal = fmt.Sprintf("%d of %d events of the batch were not accepted; the first is number %d: %v", n, len(a.Items), first+1, a.Items[first].Err)
	}
	return a
}

// rejected counts the items of a batch that were not accepted.
func (a answer) rejected() (n int) {
	for _, item := range a.Items {
		if item.Err != nil {
			n++
		}
	}
	return n
}

func (a answer) accepted() bool {
	return a.err == nil && a.refusal == "" && (a.Status == http.StatusAccepted || a.Status == http.StatusCreated || len(a.Items) > 0)
}

// unreached reports that nobody listened: then nothing was accepted, for sure.
func (a answer) unreached() bool { return errors.Is(a.err, syscall.ECONNREFUSED) }

// receipts are those of what was accepted.
func (a answer) receipts() []pillarbox.Receipt {
	if len(a.Items) == 0 && a.accepted() {
		return []pillarbox.Receipt{a.Receipt}
	}
	var receipts []pillarbox.Receipt
	for _, item := range a.Items {
		if item.Err == nil {
			receipts = append(receipts, item.Receipt)
		}
	}
	return receipts
}

func postOne(ctx context.Context, w io.Writer, flags *postFlags, sender *sender, body []byte) (err error) {
	kept, err := openReceipts(flags.receipts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	a := sender.send(ctx, body)
	kept.add(a.receipts())
	switch {
	case a.unreached():
		return fmt.Errorf("nothing was accepted: %w", a.err)
	case a.err != nil && a.Status != 0:
		return fmt.Errorf("%s answered %d, and whether the event was accepted is not known: %w", sender.url, a.Status, a.err)
	case a.err != nil:
		return fmt.Errorf("no answer from %s, so whether the event was accepted is not known: %w", sender.url, a.err)
	case len(a.Items) > 0:
		return printItems(w, a, flags.form)
	case !a.accepted():
		return fmt.Errorf("%s answered %d: %s", sender.url, a.Status, printable(a.refusal))
	case flags.form == formJSON:
		return printJSON(w, a.Receipt)
	}
	table := rows{head: []string{"request_id", "timestamp", "status"}}
	table.add(a.Receipt.RequestID, a.Receipt.Timestamp, a.Receipt.Status)
	return table.print(w, flags.form)
}

// printItems prints what became of the items of a batch.
func printItems(w io.Writer, a answer, form string) error {
	table := rows{head: []string{"request_id", "timestamp", "status", "detail"}}
	results := []any{}
	for _, item := range a.Items {
		if item.Err != nil {
			rejection := protocol.Rejection{Status: "rejected", Code: item.Status, Detail: item.Err.Error()}
			table.add("", "", rejection.Status, rejection.Detail)
			results = append(results, rejection)
			continue
		}
		table.add(item.Receipt.RequestID, item.Receipt.Timestamp, item.Receipt.Status, "")
		results = append(results, item.Receipt)
	}
	var err error
	if form == formJSON {
		err = printJSON(w, results)
	} else {
		err = table.print(w, form)
	}
	if err != nil || a.accepted() {
		return err
	}
	return errors.New(printable(a.refusal))
}

// loadSummary is the result of a load.
type loadSummary struct {
	Sent      int            `json:"sent"`
	Accepted  int            `json:"accepted"`
	Unknown   int            `json:"unknown"`   // no answer came
	Unreached int            `json:"unreached"` // nobody listened, so they were not accepted
	Statuses  map[string]int `json:"statuses"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"accepted_per_second"`
	Latency   latencies      `json:"latency_ms"`
	FirstFail string         `json:"first_failure,omitempty"`
}

// latencies are in milliseconds.
type latencies struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func latenciesOf(all []time.Duration) latencies {
	if len(all) == 0 {
		return latencies{}
	}
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	return latencies{Min: at(0), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}
