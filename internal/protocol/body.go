package protocol

import (
	"fmt"
	"net/http"
	"strings"

	"pillarbox"
)

// TooLarge refuses a body that is over a limit of this name.
func TooLarge(limit int64, name string) error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is over the limit of %d bytes (%s)", limit, name)}
}

// CheckEncoding looks at the lines of Content-Encoding, and refuses a body that would have to be decoded first.
func CheckEncoding(lines []string) error {
	for _, line := range lines {
		for encoding := range strings.SplitSeq(line, ",") {
			encoding = strings.TrimSpace(encoding)
			if encoding != "" && !strings.EqualFold(encoding, "identity") {
				return &Error{Status: http.StatusUnsupportedMediaType, Detail: fmt.Sprintf("Content-Encoding %q is not supported; send the body as it is", encoding)}
			}
		}
	}
	return nil
}

// NotAllowed refuses a method. allow lists those that are possible.
func NotAllowed(method, allow string) error {
	return &Error{Status: http.StatusMethodNotAllowed, Allow: allow, Detail: fmt.Sprintf("%s is not possible here; use %s", method, allow)}
}

// AppendReceipt appends the JSON text of a receipt without reflection: it is the answer to nearly every request. It
// relies on ids and states being plain: ours are, and never from a client.
func AppendReceipt(b []byte, receipt pillarbox.Receipt) ([]byte, error) {
	b = append(b, `{"request_id":"`...)
	b = append(b, receipt.RequestID...)
	b = append(b, `","timestamp":"`...)
	b, err := receipt.Timestamp.AppendText(b)
	b = append(b, `","status":"`...)
	b = append(b, receipt.Status...)
	return append(b, `"}`...), err
}
