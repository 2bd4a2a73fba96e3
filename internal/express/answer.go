package express

import (
	"net/http"
	"strconv"
	"time"

	"pillarbox"

	"pillarbox/internal/ingest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
)

// answers writes answers. It formats the parts that change once a second once a second.
type answers struct {
	second   int64  // that date and accepted are of
	date     []byte // a header line
	accepted []byte // the start of the answer to an accepted request
}

// at sets the time of the answers.
func (a *answers) at(now time.Time) {
	if now.Unix() == a.second && a.date != nil {
		return
	}
	a.second = now.Unix()
	a.date = append(now.UTC().AppendFormat(append(a.date[:0], "Date: "...), http.TimeFormat),
		"\r\n"...)
	a.accepted = append(a.accepted[:0],
		"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"...)
	a.accepted = append(a.accepted, a.date...)
}

const (
	closeLine    = "Connection: close\r\n"
	replayedLine = pillarbox.HeaderReplayed + ": true\r\n"
	receiptID    = `{"request_id":"`
	receiptStamp = `","timestamp":"`
	receiptState = `","status":"`
	receiptEnd   = "\"}\n"
	stampBytes   = len("2006-01-02T15:04:05.000000Z")
	// without id and state
	receiptBytes = len(receiptID) + len(receiptStamp) + stampBytes + len(receiptState) +
		len(receiptEnd)
)

// appendAccepted appends the answer to an accepted request. It relies on ids and states being
// plain: ours are, and never from a client. lines are more of the header.
func (a *answers) appendAccepted(b []byte, answer *source.Answer, result *ingest.Result,
	quota source.Quota, lines string, last bool) []byte {
	receipt := &result.Receipt
	length := len(answer.Body)
	if answer.Plain {
		b = append(b, a.accepted...)
	} else {
		b = a.appendStart(b, answer)
	}
	b = append(b, lines...)
	if result.Replayed {
		b = append(b, replayedLine...)
	}
	b = quota.AppendLines(b)
	if answer.Receipt {
		length = receiptBytes + len(receipt.RequestID) + len(receipt.Status)
	}
	if last {
		b = append(b, closeLine...)
	}
	if protocol.HasBody(answer.Status) {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(length), 10), "\r\n"...)
	}
	b = append(b, "X-Request-Id: "...)
	b = append(b, receipt.RequestID...)
	b = append(b, "\r\n\r\n"...)
	if !answer.Receipt {
		return append(b, answer.Body...)
	}
	return appendReceipt(b, receipt)
}

// appendStart appends the start of an answer that is not the usual one.
func (a *answers) appendStart(b []byte, answer *source.Answer) []byte {
	b = appendStatus(b, answer.Status)
	if answer.ContentType != "" {
		b = append(append(append(b, "Content-Type: "...), answer.ContentType...), "\r\n"...)
	}
	b = append(b, "X-Content-Type-Options: nosniff\r\n"...)
	return append(b, a.date...)
}

func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(strconv.AppendInt(b, int64(status), 10), ' ')
	return append(append(b, http.StatusText(status)...), "\r\n"...)
}

func appendReceipt(b []byte, receipt *pillarbox.Receipt) []byte {
	b = append(b, receiptID...)
	b = append(b, receipt.RequestID...)
	b = append(b, receiptStamp...)
	b, err := receipt.Timestamp.AppendText(b)
	if err != nil {
		panic("pillarbox: bug: a receipt can't be encoded: " + err.Error())
	}
	b = append(b, receiptState...)
	b = append(b, receipt.Status...)
	return append(b, receiptEnd...)
}

// appendProblem appends the answer to a request that was refused. lines are more of the header.
func (a *answers) appendProblem(b []byte, status int, header http.Header, body []byte,
	lines string, last bool) []byte {
	b = appendStatus(b, status)
	for name, values := range header {
		for _, value := range values {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	if header.Get("X-Content-Type-Options") == "" {
		b = append(b, "X-Content-Type-Options: nosniff\r\n"...)
	}
	b = append(append(b, a.date...), lines...)
	if last {
		b = append(b, closeLine...)
	}
	if protocol.HasBody(status) {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, body...)
}
