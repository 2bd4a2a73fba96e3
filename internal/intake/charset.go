package intake

import (
	"bytes"
	"mime"
	"net/http"
	"strings"

	"pillarbox/internal/protocol"
)

// utf16Marks begin texts in UTF-16, and in UTF-32 of the same order.
var utf16Marks = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}, {0, 0, 0xfe, 0xff}}

// checkCharset refuses a batch that is no UTF-8: JSON between systems is nothing else (RFC 8259,
// section 8.1), and an item is kept byte for byte. A charset that has ASCII in it may be named by a
// sender that sends nothing but ASCII, as some libraries do.
func checkCharset(contentType string, body []byte) error {
	_, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	refused := &protocol.Error{Status: http.StatusUnsupportedMediaType,
		Detail: "a batch is JSON in UTF-8; nothing was stored"}
	for _, mark := range utf16Marks {
		if bytes.HasPrefix(body, mark) {
			refused.Detail = "the body begins as UTF-16 or UTF-32 do, and a batch is JSON in UTF-8; nothing was stored"
			return refused
		}
	}
	switch {
	case err != nil, charset == "", charset == "utf-8", charset == "utf8":
		return nil
	case strings.HasPrefix(charset, "utf-16"), strings.HasPrefix(charset, "utf-32"), !isASCII(body):
		refused.Detail = "the body is not in UTF-8, as its Content-Type says, and a batch is JSON in UTF-8; nothing was stored"
		return refused
	}
	return nil
}

func isASCII(body []byte) bool {
	for _, c := range body {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
