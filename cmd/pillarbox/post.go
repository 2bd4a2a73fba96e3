package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pillarbox/internal/adminclient"
	"pillarbox/internal/config"
	"pillarbox/internal/console"
	"pillarbox/internal/node"
	"pillarbox/internal/posting"
	"pillarbox/internal/socket"
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
	bodyGiven   bool // --body stands there, if only with nothing in it
	file        string
	contentType string
	headers     []string
	n           int
	rate        float64
	concurrency int
	receipts    string
	stack       string
	form        console.Form
}

func newPostCommand(global *globalFlags) *cobra.Command {
	flags := &postFlags{}
	command := &cobra.Command{
		Use:   "post [URL]",
		Short: "Send one event, a file, or a load with -n, --rate and --concurrency",
		Long: `Send events to a running server: to the URL (of one behind a socket, unix:/path/of/socket:/app), to the stack on AWS that --stack names, or to the first
source of the configuration. Where no server listens there, and a stack was deployed, that one gets them.

The body is --body, --file (- is standard input), or standard input where it is not a terminal; on a
terminal the event is sent empty, as with --body "". With -n of
more than 1, the same body is sent n times, or a small JSON object with a running number where neither
--body nor --file is given: standard input is then read with --file - only. A URL that ends in /batch takes
a batch as the body (--content-type application/x-ndjson, or a JSON array).

The receipts can be kept with --receipts, one a line, for "pillarbox audit --receipts". A file that is there
already is replaced.`,
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
		RunE: func(command *cobra.Command,
			args []string) error {
			flags.bodyGiven = command.Flags().Changed("body")
			return post(command, global, flags, args)
		},
	}
	set := command.Flags()
	set.StringVar(&flags.body, "body", "", "text to send")
	set.StringVar(&flags.file, "file", "", "file to send; - is standard input")
	set.StringVar(&flags.contentType, "content-type", "",
		"Content-Type (default application/json for JSON, else application/octet-stream)")
	set.StringArrayVarP(&flags.headers, "header", "H", nil,
		"header to send, as \"Name: value\"; may be repeated")
	set.IntVarP(&flags.n, "number", "n", 1, "how many events to send")
	set.Float64Var(&flags.rate, "rate", 0, "events per second (default as fast as it goes)")
	set.IntVar(&flags.concurrency, "concurrency", 16, "connections of a load")
	set.StringVar(&flags.stack, "stack", "",
		"send to this stack on AWS, deployed with \"pillarbox deploy\"")
	set.StringVar(&flags.receipts, "receipts", "", "file for the receipts, one JSON object a line; one that is there is replaced")
	outputFlag(command, &flags.form)
	return command
}

func (f *postFlags) check() error {
	switch {
	case f.n < 1 || f.n > maxPosts:
		return usageError{fmt.Errorf("-n %d: want 1 to %d", f.n, maxPosts)}
	case f.concurrency < 1 || f.concurrency > maxConcurrency:
		return usageError{fmt.Errorf("--concurrency %d: want 1 to %d", f.concurrency, maxConcurrency)}
	case f.rate < 0 || math.IsNaN(f.rate):
		return usageError{fmt.Errorf("--rate %v: want 0 or more", f.rate)}
	case f.bodyGiven && f.file != "":
		return usageError{errors.New("--body and --file can't be used together")}
	}
	return checkForm(f.form)
}

func post(command *cobra.Command, global *globalFlags, flags *postFlags, args []string) error {
	if err := flags.check(); err != nil {
		return err
	}
	to, err := postTarget(command, global, flags, args)
	if err != nil {
		return err
	}
	transport, err := global.transport(to, flags.concurrency)
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
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sender := &posting.Sender{URL: to.url, Header: header,
		Poster: &adminclient.Poster{HTTP: &http.Client{Timeout: postTimeout, Transport: transport}}}
	if flags.n == 1 {
		return postOne(ctx, command.OutOrStdout(), flags, sender, body)
	}
	return postLoad(ctx, command, flags, sender, body, given)
}

// postTarget is the argument, the stack's, or that of the first source of the configuration.
func postTarget(command *cobra.Command, global *globalFlags, flags *postFlags,
	args []string) (target, error) {
	switch {
	case len(args) == 1 && flags.stack != "":
		return target{}, usageError{errors.New("a URL and --stack can't be used together")}
	case len(args) == 1:
		to, err := parseTarget(args[0], "/app")
		if err != nil {
			return target{}, usageError{err}
		}
		return to, nil
	case flags.stack != "":
		outputs, err := deployed(flags.stack)
		if err != nil {
			return target{}, usageError{err}
		}
		return target{url: outputs.URL}, nil
	}
	cfg, err := global.load()
	if err != nil {
		return target{}, err
	}
	to, address, err := configuredTarget(cfg)
	if err != nil {
		return target{}, usageError{err}
	}
	if outputs, err := deployed(""); err == nil && global.configPath == "" &&
		!global.changed("listen") && to.socket == "" && !listens(address) {
		fmt.Fprintf(command.ErrOrStderr(), "no server listens at %s; sending to the stack %s at %s\n",
			address, outputs.Name, outputs.URL)
		return target{url: outputs.URL}, nil
	}
	return to, nil
}

// configuredTarget is the first source of a server with the configuration on this machine.
func configuredTarget(cfg *config.Config) (to target, address string, err error) {
	path := cfg.Sources[slices.Min(slices.Collect(maps.Keys(cfg.Sources)))].Path
	if address, err = firstAddress(cfg); err != nil {
		return target{}, "", err
	}
	if slices.Contains(cfg.Listen.ProxyProtocol, address) {
		return target{}, "", fmt.Errorf("only proxies can connect to %s (listen.proxy_protocol); name the URL of one", address)
	}
	if _, known := socket.Path(address); known {
		to, err = parseTarget(address, path)
		return to, address, err
	}
	address = node.DisplayAddress(address)
	if domains := cfg.TLS.ACME.Domains; len(domains) > 0 {
		if _, port, err := net.SplitHostPort(address); err == nil { // no certificate is for this machine
			address = net.JoinHostPort(domains[0], port)
		}
	}
	if cfg.TLS.On() {
		return target{url: "https://" + address + path, own: cfg.TLS.Certificates}, address, nil
	}
	return target{url: "http://" + address + path}, address, nil
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

// read returns the body, and whether one was given. That of a single event is, if only as nothing:
// where nobody says what it is, and standard input is a terminal, it is empty.
func (f *postFlags) read(stdin io.Reader) (body []byte, given bool, err error) {
	switch {
	case f.bodyGiven:
		return []byte(f.body), true, nil
	case f.file == "-":
		body, err = io.ReadAll(stdin)
		return body, true, err
	case f.file != "":
		if body, err = os.ReadFile(f.file); err != nil {
			err = usageError{fmt.Errorf("--file: %w", err)}
		}
		return body, true, err
	case f.n > 1:
		return nil, false, nil
	}
	if file, ok := stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return nil, true, nil
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

func postOne(ctx context.Context, w io.Writer, flags *postFlags, sender *posting.Sender,
	body []byte) (err error) {
	kept, err := posting.OpenReceipts(flags.receipts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	a := sender.Send(ctx, body)
	kept.Add(a.Receipts())
	switch {
	case a.Unreached():
		return fmt.Errorf("nothing was accepted: %w", a.Err)
	case a.Err != nil && a.Status != 0:
		return fmt.Errorf("%s answered %d, and whether the event was accepted is not known: %w",
			sender.URL, a.Status, a.Err)
	case a.Err != nil:
		return fmt.Errorf("no answer from %s, so whether the event was accepted is not known: %w",
			sender.URL, a.Err)
	case len(a.Items) > 0:
		return console.WriteItems(w, a, flags.form)
	case !a.Accepted():
		return fmt.Errorf("%s answered %d: %s", sender.URL, a.Status, console.Printable(a.Refusal))
	case flags.form.Kind == console.JSON:
		return console.WriteJSON(w, a.Receipt)
	}
	table := console.Rows{Head: []string{"request_id", "timestamp", "status"}}
	table.Add(a.Receipt.RequestID, a.Receipt.Timestamp, a.Receipt.Status)
	return table.Write(w, flags.form)
}

func postLoad(ctx context.Context, command *cobra.Command, flags *postFlags,
	sender *posting.Sender, body []byte, given bool) error {
	receipts, err := posting.OpenReceipts(flags.receipts)
	if err != nil {
		return err
	}
	load := &posting.Load{
		Sender: sender, Events: flags.n, Concurrency: flags.concurrency, Rate: flags.rate, Receipts: receipts, Progress: drawn(command.ErrOrStderr()),
	}
	if given {
		load.Body = append([]byte{}, body...)
	}
	summary := load.Run(ctx)
	if err := receipts.Close(); err != nil {
		return err
	}
	if err := console.WriteLoad(command.OutOrStdout(), summary, flags.form); err != nil {
		return err
	}
	if summary.Accepted < flags.n {
		return silentError{}
	}
	return nil
}
