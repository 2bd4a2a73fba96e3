package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pillarbox"
)

// progressInterval is how often the progress bar moves.
const progressInterval = 200 * time.Millisecond

// load sends n events over some connections and keeps the score.
type load struct {
	sender   *sender
	body     []byte
	given    bool
	n        int
	interval time.Duration // between two sends; 0 for as fast as it goes
	start    time.Time
	next     atomic.Int64

	mu        sync.Mutex
	summary   loadSummary
	latencies []time.Duration
	receipts  *receiptFile
}

func postLoad(ctx context.Context, command *cobra.Command, flags *postFlags, sender *sender, body []byte, given bool) error {
	l := &load{sender: sender, body: body, given: given, n: flags.n, start: time.Now()}
	l.summary.Statuses = map[string]int{}
	if flags.rate > 0 {
		l.interval = time.Duration(float64(time.Second) / flags.rate)
	}
	receipts, err := openReceipts(flags.receipts)
	if err != nil {
		return err
	}
	l.receipts = receipts
	l.run(ctx, min(flags.concurrency, flags.n), command.ErrOrStderr())
	if err := receipts.Close(); err != nil {
		return err
	}
	l.finish()
	if err := l.print(command.OutOrStdout(), flags.form); err != nil {
		return err
	}
	if l.summary.Accepted < flags.n {
		return silentError{}
	}
	return nil
}

// receiptFile keeps receipts, one a line. nil keeps none.
type receiptFile struct {
	file *os.File
	out  *bufio.Writer
	err  error // the first of writing
}

func openReceipts(name string) (*receiptFile, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	return &receiptFile{file: file, out: bufio.NewWriter(file)}, nil
}

func (r *receiptFile) add(receipts []pillarbox.Receipt) {
	for _, receipt := range receipts {
		if r == nil || r.err != nil {
			return
		}
		line, err := json.Marshal(receipt)
		if err == nil {
			_, err = r.out.Write(append(line, '\n'))
		}
		r.err = err
	}
}

// Close returns the first error of all.
func (r *receiptFile) Close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.err, r.out.Flush(), r.file.Close())
}

// run sends until everything is sent or ctx ends, and draws progress meanwhile.
func (l *load) run(ctx context.Context, concurrency int, progress io.Writer) {
	finished := make(chan struct{})
	var drawing sync.WaitGroup
	if file, ok := progress.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		drawing.Go(func() { l.draw(progress, finished) })
	}
	var sending sync.WaitGroup
	for range concurrency {
		sending.Go(func() { l.work(ctx) })
	}
	sending.Wait()
	close(finished)
	drawing.Wait()
}

func (l *load) work(ctx context.Context) {
	for ctx.Err() == nil {
		i := l.next.Add(1) - 1
		if i >= int64(l.n) {
			return
		}
		// With a rate, latency counts from when the event was due, so that a server that stalls is not
		// excused from the events that it kept from being sent.
		due := time.Now()
		if l.interval > 0 {
			due = l.start.Add(time.Duration(i) * l.interval)
			if !sleepUntil(ctx, due) {
				return
			}
		}
		body := l.body
		if !l.given {
			body = []byte(`{"n":` + strconv.FormatInt(i+1, 10) + `,"source":"pillarbox post"}`)
		}
		l.note(l.sender.send(ctx, body), time.Since(due))
	}
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (l *load) note(a answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.Sent++
	switch {
	case a.unreached():
		l.summary.Unreached++
		l.fail(a.err.Error())
		return
	case a.err != nil:
		l.summary.Unknown++
		l.fail(a.err.Error())
		return
	case !a.accepted():
		l.fail(fmt.Sprintf("%d: %s", a.Status, a.refusal))
	default:
		l.summary.Accepted++
	}
	l.summary.Statuses[strconv.Itoa(a.Status)]++
	l.latencies = append(l.latencies, took)
	l.receipts.add(a.receipts())
}

func (l *load) fail(text string) {
	if l.summary.FirstFail == "" {
		l.summary.FirstFail = text
	}
}

func (l *load) finish() {
	l.summary.Seconds = time.Since(l.start).Seconds()
	l.summary.PerSecond = float64(l.summary.Accepted) / l.summary.Seconds
	l.summary.Latency = latenciesOf(l.latencies)
}

// draw moves a progress bar until finished is closed.
func (l *load) draw(w io.Writer, finished <-chan struct{}) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	const width = 30
	for {
		l.mu.Lock()
		sent, accepted := l.summary.Sent, l.summary.Accepted
		l.mu.Unlock()
		full := width * sent / l.n
		rate := float64(sent) / time.Since(l.start).Seconds()
		fmt.Fprintf(w, "\r[%s%s] %d of %d, %d accepted, %.0f/s ", strings.Repeat("#", full), strings.Repeat(".", width-full), sent, l.n, accepted, rate)
		select {
		case <-finished:
			fmt.Fprintln(w)
			return
		case <-ticker.C:
		}
	}
}

func (l *load) print(w io.Writer, form string) error {
	s := l.summary
	if form == formJSON {
		return printJSON(w, s)
	}
	table := rows{head: []string{"what", "value"}}
	table.add("sent", s.Sent)
	table.add("accepted", s.Accepted)
	for status, n := range s.Statuses {
		code, _ := strconv.Atoi(status)
		table.add("answered "+status+" "+http.StatusText(code), n)
	}
	table.add("no answer", s.Unknown)
	table.add("no server", s.Unreached)
	table.add("seconds", fmt.Sprintf("%.2f", s.Seconds))
	table.add("accepted per second", fmt.Sprintf("%.0f", s.PerSecond))
	table.add("latency ms p50 / p90 / p99 / max", fmt.Sprintf("%.2f / %.2f / %.2f / %.2f", s.Latency.P50, s.Latency.P90, s.Latency.P99, s.Latency.Max))
	if s.FirstFail != "" {
		table.add("first failure", shorten(s.FirstFail, 200))
	}
	return table.print(w, form)
}
