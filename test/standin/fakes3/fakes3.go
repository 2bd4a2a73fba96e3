// Package fakes3 is a bucket of S3 in memory, for tests: the real SDK talks to it, as to an HTTP client or
// to a server. It knows what pillarbox uses: PutObject with If-Match and If-None-Match, GetObject with
// ranges and the same, DeleteObject, and ListObjectsV2 with a prefix and a delimiter. It checks the
// checksums that come, and no signature. Calls can be made to fail before or after they had their effect.
package fakes3

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what S3 makes ETags of
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Name is the bucket's.
const Name = "bucket"

// Fault is how a call fails.
type Fault int

// The faults.
const (
	None     Fault = iota
	Refused        // it is answered with 503, and has no effect
	Unsent         // it never comes here
	Unheard        // it has its effect, and the answer is lost
	Answered       // it has its effect, and is answered with 500 all the same
)

// Faults are all but None.
var Faults = []Fault{Refused, Unsent, Unheard, Answered}

// errConnection is what a client sees of a call whose answer does not come.
var errConnection = errors.New("fakes3: the connection is gone")

// Op is a call.
type Op struct {
	Method string // of HTTP
	Key    string // empty for a list
	Index  int    // of the calls to this bucket
}

// Changes reports whether the call may change what is in the bucket.
func (o Op) Changes() bool { return o.Method == http.MethodPut || o.Method == http.MethodDelete }

// Bucket is a bucket. The zero value is empty. Fault and After are set while nobody calls.
type Bucket struct {
	Fault func(op Op) Fault // says how a call fails, one at a time; nil: none does
	After func(op Op)       // is called behind each call, before its answer is sent, by several at once

	faulting sync.Mutex // is held while Fault is called

	mu      sync.Mutex
	objects map[string]object // by key; guarded by mu
	calls   []Op              // guarded by mu
}

// object is what is there of a key. It is never changed.
type object struct {
	content []byte
	etag    string
}

// Clone is a bucket with the same objects, and no faults.
func (b *Bucket) Clone() *Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Bucket{objects: maps.Clone(b.objects)}
}

// Objects are the contents by key. Nobody changes them.
func (b *Bucket) Objects() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string][]byte{}
	for key, o := range b.objects {
		all[key] = o.content
	}
	return all
}

// Put is what somebody else puts there.
func (b *Bucket) Put(key string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(key, content)
}

// Remove is what somebody else removes.
func (b *Bucket) Remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
}

func (b *Bucket) set(key string, content []byte) {
	if b.objects == nil {
		b.objects = map[string]object{}
	}
	b.objects[key] = object{content, fmt.Sprintf(`"%x"`, md5.Sum(content))} //nolint:gosec // as above
}

// Calls are all calls so far.
func (b *Bucket) Calls() []Op {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// Do implements aws.HTTPClient.
func (b *Bucket) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var content []byte
	if r.Body != nil {
		var err error
		if content, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	key, _ := strings.CutPrefix(strings.TrimPrefix(r.URL.Path, "/"), Name)
	op := Op{Method: r.Method, Key: strings.TrimPrefix(key, "/")}
	b.mu.Lock()
	op.Index = len(b.calls)
	b.calls = append(b.calls, op)
	b.mu.Unlock()
	fault := None
	if b.Fault != nil {
		b.faulting.Lock()
		fault = b.Fault(op)
		b.faulting.Unlock()
	}
	switch fault {
	case Refused:
		return answer(r, failure(http.StatusServiceUnavailable, "SlowDown")), nil
	case Unsent:
		return nil, errConnection
	}
	out := b.serve(r, op.Key, content)
	if b.After != nil {
		b.After(op)
	}
	switch fault {
	case Unheard:
		return nil, errConnection
	case Answered:
		return answer(r, failure(http.StatusInternalServerError, "InternalError")), nil
	}
	return answer(r, out), nil
}

// ServeHTTP implements http.Handler.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := b.Do(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), out.Header)
	w.WriteHeader(out.StatusCode)
	_, _ = io.Copy(w, out.Body)
}

// result is what a call is answered with.
type result struct {
	status int
	header http.Header
	body   []byte
}

func failure(status int, code string) result {
	return result{status: status, body: fmt.Appendf(nil, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)}
}

func answer(r *http.Request, out result) *http.Response {
	if out.header == nil {
		out.header = http.Header{}
	}
	out.header.Set("Content-Length", strconv.Itoa(len(out.body)))
	return &http.Response{StatusCode: out.status, Status: http.StatusText(out.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.header, Body: io.NopCloser(bytes.NewReader(out.body)), ContentLength: int64(len(out.body)), Request: r}
}

func (b *Bucket) serve(r *http.Request, key string, content []byte) result {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && key == "":
		return b.list(r)
	case r.Method == http.MethodGet:
		return b.get(r, key)
	case r.Method == http.MethodPut:
		return b.put(r, key, content)
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		return result{status: http.StatusNoContent}
	}
	return failure(http.StatusNotImplemented, "NotImplemented")
}

func (b *Bucket) put(r *http.Request, key string, content []byte) result {
	if want := r.Header.Get("X-Amz-Checksum-Sha256"); want != "" {
		if sum := sha256.Sum256(content); base64.StdEncoding.EncodeToString(sum[:]) != want {
			return failure(http.StatusBadRequest, "BadDigest")
		}
	}
	if strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return failure(http.StatusNotImplemented, "NotImplemented") // as the SDK does over TLS alone
	}
	there, found := b.objects[key]
	if match := r.Header.Get("If-Match"); match != "" {
		if !found {
			return failure(http.StatusNotFound, "NoSuchKey")
		}
		if match != there.etag {
			return failure(http.StatusPreconditionFailed, "PreconditionFailed")
		}
	}
	if r.Header.Get("If-None-Match") == "*" && found {
		return failure(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	b.set(key, content)
	return result{status: http.StatusOK, header: http.Header{"Etag": {b.objects[key].etag}}}
}

func (b *Bucket) get(r *http.Request, key string) result {
	there, found := b.objects[key]
	if !found {
		return failure(http.StatusNotFound, "NoSuchKey")
	}
	content := there.content
	header := http.Header{"Etag": {there.etag}, "Last-Modified": {"Mon, 23 Nov 2026 14:12:00 GMT"}}
	if r.Header.Get("If-None-Match") == there.etag {
		return result{status: http.StatusNotModified, header: header}
	}
	if match := r.Header.Get("If-Match"); match != "" && match != there.etag {
		return failure(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	spec, ranged := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ranged {
		return result{status: http.StatusOK, header: header, body: content}
	}
	first, last, _ := strings.Cut(spec, "-")
	from, to := 0, len(content)
	if first == "" {
		n, _ := strconv.Atoi(last)
		from = max(0, to-n)
	} else {
		from, _ = strconv.Atoi(first)
		if end, err := strconv.Atoi(last); err == nil {
			to = min(to, end+1)
		}
	}
	if from >= len(content) {
		return failure(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	}
	header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
	return result{status: http.StatusPartialContent, header: header, body: content[from:to]}
}

// page is how many names a list has at most: few, so that what lists meets more than one page.
const page = 5

func (b *Bucket) list(r *http.Request) result {
	query := r.URL.Query()
	type listed struct {
		Key  string
		Size int
		ETag string
	}
	type common struct{ Prefix string }
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		KeyCount              int
		NextContinuationToken string `xml:",omitempty"`
		Contents              []listed
		CommonPrefixes        []common
	}
	prefix, delimiter, after := query.Get("prefix"), query.Get("delimiter"), query.Get("continuation-token")
	last := ""
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		rest, found := strings.CutPrefix(key, prefix)
		if !found {
			continue
		}
		name, dir := key, false
		if delimiter != "" {
			if head, _, cut := strings.Cut(rest, delimiter); cut {
				name, dir = prefix+head+delimiter, true
			}
		}
		if name <= after || name == last {
			continue
		}
		if out.KeyCount == page {
			out.IsTruncated, out.NextContinuationToken = true, last
			break
		}
		last = name
		out.KeyCount++
		if dir {
			out.CommonPrefixes = append(out.CommonPrefixes, common{name})
		} else {
			out.Contents = append(out.Contents, listed{key, len(b.objects[key].content), b.objects[key].etag})
		}
	}
	body, err := xml.Marshal(out)
	if err != nil {
		return failure(http.StatusInternalServerError, "InternalError")
	}
	return result{status: http.StatusOK, header: http.Header{"Content-Type": {"application/xml"}}, body: body}
}
