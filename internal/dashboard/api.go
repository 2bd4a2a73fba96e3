package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// maxAnswer bounds what is taken of an answer of the API, in bytes: a page of events has up to 8 MiB of
// bodies, which JSON may make six times as long.
const maxAnswer = 64 << 20

// apiError is a refusal of the API.
type apiError struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (e *apiError) Error() string {
	if e.Detail == "" {
		return e.Title
	}
	return e.Detail
}

// answer is what the API writes to.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(text) > maxAnswer {
		return 0, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	return a.body.Write(text)
}

// ask asks the API in the name of a browser, and decodes its answer. Errors: *apiError for a refusal.
func (d *Dashboard) ask(r *http.Request, path string, into any) error {
	asked, err := url.Parse(path)
	if err != nil {
		return err
	}
	request := (&http.Request{Method: http.MethodGet, URL: asked, Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody}).WithContext(r.Context())
	for _, name := range []string{"Authorization", "Cookie"} {
		if values := r.Header.Values(name); len(values) > 0 {
			request.Header[name] = values
		}
	}
	got := &answer{header: http.Header{}}
	d.opts.API.ServeHTTP(got, request)
	if got.status != http.StatusOK {
		problem := &apiError{Status: got.status, Title: http.StatusText(got.status)}
		_ = json.Unmarshal(got.body.Bytes(), problem) // what is no problem has its status alone
		return problem
	}
	if err := json.Unmarshal(got.body.Bytes(), into); err != nil {
		return fmt.Errorf("the answer of %s: %w", asked.Path, err)
	}
	return nil
}

// query writes parameters, without the empty ones: name, value, name, value.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}
