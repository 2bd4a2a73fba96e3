// Command bare is the yardstick: an HTTP handler on the same server library that reads the body, answers as
// pillarbox does, and keeps nothing. Its acknowledgement promises nothing.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	body := []byte(`{"request_id":"01a20982-735b-7980-86a3-0c4338e0f4c0","timestamp":"2026-11-23T17:44:33.883608Z","status":"accepted"}` + "\n")
	handler := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body) // the client is gone if this fails
	}
	server := &http.Server{Addr: os.Args[1], Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
