package quarantine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// Entry is a request in quarantine, as it may be shown: the event that it would be, without secrets.
type Entry struct {
	Event  *pillarbox.Event
	Reason string // why its signature failed, in the words of package signature

	elapsed time.Duration // of the clock, when it came
	key     string        // that it is sealed with
	sealed  []byte
}

// age is how long a request has been there. Where the time that has passed was lost, it counts anew.
func (e *Entry) age(now time.Duration) time.Duration { return max(0, now-e.elapsed) }

// Raw is a request as it came, byte for byte: what it takes to verify it again, and to accept it.
type Raw struct {
	Method, Path, Query string
	Header              pillarbox.Header
	ContentType         string
	RemoteAddr          string
	Traceparent         string
	Body                []byte

	Caller     string // whom it is from, as far as a credential has said
	Attributes pillarbox.Attributes
}

// rawJSON is Raw as it is sealed. What may be no UTF-8 is bytes.
type rawJSON struct {
	Method      []byte               `json:"method"`
	Path        []byte               `json:"path"`
	Query       []byte               `json:"query"`
	Header      [][2][]byte          `json:"header"`
	ContentType []byte               `json:"content_type"`
	RemoteAddr  string               `json:"remote_addr"`
	Traceparent []byte               `json:"traceparent"`
	Body        []byte               `json:"body"`
	Caller      string               `json:"caller"`
	Attributes  pillarbox.Attributes `json:"attributes"`
}

func (r *Raw) marshal() ([]byte, error) {
	raw := rawJSON{Method: []byte(r.Method), Path: []byte(r.Path), Query: []byte(r.Query), Body: r.Body,
		ContentType: []byte(r.ContentType), RemoteAddr: r.RemoteAddr, Traceparent: []byte(r.Traceparent), Caller: r.Caller, Attributes: r.Attributes}
	for _, field := range r.Header {
		raw.Header = append(raw.Header, [2][]byte{[]byte(field.Name), []byte(field.Value)})
	}
	return json.Marshal(raw)
}

func unmarshalRaw(text []byte) (*Raw, error) {
	var raw rawJSON
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	r := &Raw{Method: string(raw.Method), Path: string(raw.Path), Query: string(raw.Query), Body: raw.Body,
		ContentType: string(raw.ContentType), RemoteAddr: raw.RemoteAddr, Traceparent: string(raw.Traceparent), Caller: raw.Caller, Attributes: raw.Attributes}
	for _, field := range raw.Header {
		r.Header = append(r.Header, pillarbox.HeaderField{Name: string(field[0]), Value: string(field[1])})
	}
	return r, nil
}

// fileVersion is that of the files. One of a newer version is told, and left alone.
const fileVersion = 1

// file is the content of a file.
type file struct {
	Version int              `json:"version"`
	Reason  string           `json:"reason"`
	Elapsed int64            `json:"elapsed_seconds"` // of the clock that counts in all lives
	Key     string           `json:"key"`             // names the key
	Sealed  []byte           `json:"sealed"`          // nonce, and the rest of AES-256-GCM
	Event   *pillarbox.Event `json:"event"`
}

// encode makes the file of a request.
func (s *Store) encode(event *pillarbox.Event, reason string, raw *Raw) ([]byte, error) {
	seals, err := s.sealing()
	if err != nil {
		return nil, err
	}
	plain, err := raw.marshal()
	if err != nil {
		return nil, fmt.Errorf("encode a request for the quarantine: %w", err)
	}
	f := file{Version: fileVersion, Reason: reason, Elapsed: int64(s.elapsed() / time.Second), Key: seals.id, Event: event}
	f.Sealed = seals.seal(plain, f.place())
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode a request for the quarantine: %w", err)
	}
	return s.atRest.SealDocument(append(text, '\n'), atrest.Quarantine)
}

// place is what a sealed text is bound to: it opens beside no other event.
func (f *file) place() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(f.Event.Timestamp))
	b = append(append(b, f.Event.RequestID...), 0)
	b = append(append(b, f.Event.Source...), 0)
	return append(b, f.Reason...)
}

// read reads an entry. Errors: ErrNotFound, ErrCorrupt, ErrUnavailable.
func (s *Store) read(id string) (*Entry, error) {
	text, err := vfs.ReadFile(s.fsys, nameOf(id), MaxFileBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errAbsent(id)
	case vfs.IsForeign(err) || vfs.IsUnreadable(err):
		return nil, damaged(id, err)
	case err != nil:
		return nil, unavailable(err)
	}
	var absent *atrest.NoKeyError
	if text, err = s.atRest.OpenDocument(text, atrest.Quarantine); errors.As(err, &absent) {
		return nil, fmt.Errorf("the request %s in quarantine: %w", id, err)
	} else if err != nil {
		return nil, damaged(id, err)
	}
	var f file
	switch err := json.Unmarshal(text, &f); {
	case err != nil:
		return nil, damaged(id, err)
	case f.Version != fileVersion:
		return nil, damaged(id, fmt.Errorf("it has the version %d, and this pillarbox reads %d", f.Version, fileVersion))
	case f.Event == nil || f.Event.RequestID != id:
		return nil, damaged(id, errors.New("its event has another id"))
	}
	return &Entry{Event: f.Event, Reason: f.Reason, elapsed: time.Duration(f.Elapsed) * time.Second, key: f.Key, sealed: f.Sealed}, nil
}

func damaged(id string, err error) error {
	return fmt.Errorf("the request %s in quarantine can't be read (%s): %w: %w", id, nameOf(id), err, pillarbox.ErrCorrupt)
}

// unseal returns a request as it came. Errors: ErrCorrupt, ErrUnavailable.
func (s *Store) unseal(entry *Entry) (*Raw, error) {
	seals, err := s.sealing()
	if err != nil {
		return nil, err
	}
	id := entry.Event.RequestID
	if entry.key != seals.id {
		return nil, damaged(id, fmt.Errorf("it is sealed with the key %q, and %s is the key %q", entry.key, keyName, seals.id))
	}
	plain, err := seals.open(entry.sealed, (&file{Event: entry.Event, Reason: entry.Reason}).place())
	if err != nil {
		return nil, damaged(id, err)
	}
	raw, err := unmarshalRaw(plain)
	if err != nil {
		return nil, damaged(id, err)
	}
	return raw, nil
}

// keyName is the file of the key that requests are sealed with. It is beside them, so that a copy of
// the directory can be read.
var keyName = path.Join(Directory, "key")

const (
	keyBytes = 32      // of AES-256
	maxKey   = 1 << 10 // bytes of its file
)

// seals is the key, ready.
type seals struct {
	id   string
	aead cipher.AEAD
}

// sealing reads the key, or makes one, durable with the directory before anything is sealed with it.
func (s *Store) sealing() (*seals, error) {
	s.making.Lock()
	defer s.making.Unlock()
	if s.seals != nil {
		return s.seals, nil
	}
	key, err := readKey(s.fsys)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(s.fsys)
	}
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("quarantine key "), key...))
	s.seals = &seals{id: hex.EncodeToString(sum[:8]), aead: aead}
	return s.seals, nil
}

func readKey(fsys vfs.FS) ([]byte, error) {
	text, err := vfs.ReadFile(fsys, keyName, maxKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read the key of the quarantine: %w", err))
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("%s is no key; put it back from a backup, or move it away to begin another, which opens none of the requests that are there: %w: %w",
			keyName, pillarbox.ErrCorrupt, pillarbox.ErrUnavailable)
	}
	return key, nil
}

func makeKey(fsys vfs.FS) ([]byte, error) {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails, as its document says
	err := vfs.MkdirAll(fsys, Directory)
	if err == nil {
		err = vfs.WriteFile(fsys, keyName, []byte(base64.StdEncoding.EncodeToString(key)+"\n"))
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("make the key of the quarantine: %w", err))
	}
	return key, nil
}

// seal seals a text beside what it is bound to. A key seals some 2^32 texts at most by nonces that are
// drawn (NIST SP 800-38D, section 8.3), which limits and ages keep it far from.
func (s *seals) seal(plain, place []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, place)
}

func (s *seals) open(sealed, place []byte) ([]byte, error) {
	size := s.aead.NonceSize()
	if len(sealed) < size {
		return nil, errors.New("what is sealed is cut short")
	}
	return s.aead.Open(nil, sealed[:size], sealed[size:], place)
}
