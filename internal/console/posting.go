package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"pillarbox/internal/posting"
	"pillarbox/internal/protocol"
)

// WriteItems prints what became of the items of a batch.
func WriteItems(w io.Writer, a posting.Answer, form Form) error {
	table := Rows{Head: []string{"request_id", "timestamp", "status", "detail"}}
	results := []any{}
	for _, item := range a.Items {
		if item.Err != nil {
			rejection := protocol.Rejection{Status: "rejected", Code: item.Status, Detail: item.Err.Error()}
			table.Add("", "", rejection.Status, rejection.Detail)
			results = append(results, rejection)
			continue
		}
		table.Add(item.Receipt.RequestID, item.Receipt.Timestamp, item.Receipt.Status, "")
		results = append(results, item.Receipt)
	}
	var err error
	if form.Kind == JSON {
		err = WriteJSON(w, results)
	} else {
		err = table.Write(w, form)
	}
	if err != nil || a.Accepted() {
		return err
	}
	return errors.New(Printable(a.Refusal))
}

// WriteLoad writes the result of a load.
func WriteLoad(w io.Writer, s posting.Summary, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, s)
	}
	table := Rows{Head: []string{"what", "value"}}
	table.Add("sent", s.Sent)
	table.Add("accepted", s.Accepted)
	for status, n := range s.Statuses {
		code, _ := strconv.Atoi(status)
		table.Add("answered "+status+" "+http.StatusText(code), n)
	}
	table.Add("no answer", s.Unknown)
	table.Add("no server", s.Unreached)
	table.Add("seconds", fmt.Sprintf("%.2f", s.Seconds))
	table.Add("accepted per second", fmt.Sprintf("%.0f", s.PerSecond))
	table.Add("latency ms p50 / p90 / p99 / max",
		fmt.Sprintf("%.2f / %.2f / %.2f / %.2f", s.Latency.P50, s.Latency.P90, s.Latency.P99,
			s.Latency.Max))
	if s.FirstFail != "" {
		table.Add("first failure", Shorten(s.FirstFail, 200))
	}
	return table.Write(w, form)
}
