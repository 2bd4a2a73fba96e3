package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"

	"pillarbox/internal/protocol"
)

// writeJSON answers with a value and its length.
func writeJSON(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // people read this, and no browser takes it for a page
	if err := encoder.Encode(value); err != nil {
		panic("pillarbox: bug: an answer can't be encoded: " + err.Error())
	}
	writeBody(w, status, typeJSON, body.Bytes())
}

// writeBody answers with bytes.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	header, values := w.Header(), [...]string{contentType, strconv.Itoa(len(body))}
	header["Content-Type"], header["Content-Length"] = values[0:1:1], values[1:2:2]
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; what was done stays done
}

// writeProblem answers with an error.
func writeProblem(w http.ResponseWriter, err error) {
	answerProblem(w, protocol.ProblemOf(err), err)
}

// answerProblem answers with the problem that was made of err.
func answerProblem(w http.ResponseWriter, problem protocol.Problem, err error) {
	header, body := problem.Answer(err)
	maps.Copy(w.Header(), header)
	writeBody(w, problem.Status, protocol.TypeProblem, body)
}

// liftTimeouts keeps the timeouts of the server from cutting off an answer that takes long by nature. The
// server sets them again with the next request. The one for reading matters too: when it passes, the server
// takes the client for gone.
func liftTimeouts(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // not possible in process, where there are no timeouts
	_ = control.SetWriteDeadline(time.Time{})
}
