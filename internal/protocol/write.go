package protocol

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"

	"pillarbox"
)

// WriteJSON answers with a value and its length.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // people read this, and no browser takes it for a page
	if err := encoder.Encode(value); err != nil {
		panic("pillarbox: bug: an answer can't be encoded: " + err.Error())
	}
	WriteBody(w, status, TypeJSON, body.Bytes())
}

// WriteBody answers with bytes.
func WriteBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	header, values := w.Header(), [...]string{contentType, strconv.Itoa(len(body))}
	header["Content-Type"], header["Content-Length"] = values[0:1:1], values[1:2:2]
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; what was done stays done
}

// WriteEmpty answers without a body.
func WriteEmpty(w http.ResponseWriter, status int) {
	if HasBody(status) {
		w.Header().Set("Content-Length", "0")
	}
	w.WriteHeader(status)
}

// WriteReply answers with what is no error.
func WriteReply(w http.ResponseWriter, reply *Reply) {
	header, body := reply.Answer()
	maps.Copy(w.Header(), header)
	if len(body) == 0 {
		WriteEmpty(w, reply.Status)
		return
	}
	WriteBody(w, reply.Status, reply.ContentType, body)
}

// WriteProblem answers with an error.
func WriteProblem(w http.ResponseWriter, err error) {
	AnswerProblem(w, ProblemOf(err), err)
}

// AnswerProblem answers with the problem that was made of err.
func AnswerProblem(w http.ResponseWriter, problem Problem, err error) {
	header, body := problem.Answer(err)
	maps.Copy(w.Header(), header)
	WriteBody(w, problem.Status, TypeProblem, body)
}

// LiftTimeouts keeps the timeouts of the server from cutting off an answer that takes long by
// nature. The server sets them again with the next request. The one for reading matters too: when
// it passes, the server takes the client for gone.
func LiftTimeouts(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // not possible in process, where there are no timeouts
	_ = control.SetWriteDeadline(time.Time{})
}

// Invalid is pillarbox.Invalid.
func Invalid(format string, args ...any) error { return pillarbox.Invalid(format, args...) }
