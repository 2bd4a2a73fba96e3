// Package trail keeps what people and their tools have done to a server: who, when, from where, what,
// and what became of it.
//
// It promises that an act which Append has returned nil for is on stable storage, that no entry can
// be changed, taken out or put in without Verify saying so, and that one entry can be erased for
// good while all others still prove themselves: each is sealed with a key of its own
// (AES-256-GCM), the chain is over what is sealed, and to erase is to forget the key. It does not
// promise that the end can't be cut off: whoever wants to prove that keeps the hash of the last
// entry elsewhere. Nor does sealing by itself keep anything secret from whoever can read the directory,
// which has the keys, unless the service seals those too (package atrest); and an erased key is gone from the file, not from blocks of the disk that were freed.
package trail

import (
	"bytes"
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
	"log/slog"
	"path"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// Directory is where the trail is, below the data directory.
const Directory = "trail"

const (
	// MaxFileBytes is how large a file grows before the next one begins.
	MaxFileBytes = 8 << 20

	// MaxText is the longest text of an act, in bytes; of a longer one the beginning is kept, which
	// says so.
	MaxText = 4 << 10
)

// Act is something that somebody does.
type Act struct {
	Actor   string `json:"actor"`             // name of the token, or of the user of this machine
	Address string `json:"address,omitempty"` // that it came from; empty where it came from no network
	Action  string `json:"action"`            // such as keys.create
	Object  string `json:"object,omitempty"`  // that it is done to
	Request string `json:"request,omitempty"` // in the words of whoever asked
	Result  string `json:"result,omitempty"`  // of the act that Of names
	Of      uint64 `json:"of,omitempty"`
}

// Entry is an act in its place.
type Entry struct {
	Seq    uint64              `json:"seq"` // from 1, without gaps
	At     pillarbox.Timestamp `json:"at"`
	Act    *Act                `json:"act"` // nil where it was erased, or its key is lost
	Erased bool                `json:"erased,omitempty"`
	Sealed bool                `json:"sealed,omitempty"` // its key is, with a data key that is not at hand
	Hash   string              `json:"hash"`             // SHA-256 of the line, in hexadecimal digits
}

// line is an entry as it stands in the file.
type line struct {
	Seq    uint64              `json:"seq"`
	At     pillarbox.Timestamp `json:"at"`
	Prev   string              `json:"prev"`   // hash of the line before; of no line for the first one
	Sealed []byte              `json:"sealed"` // the act as JSON
}

// Options of a Trail. The zero value is ready.
type Options struct {
	Now          func() time.Time // default time.Now
	Logger       *slog.Logger     // default: discard
	AtRest       *atrest.Keys     // seals the keys of entries, and opens sealed ones; nil: neither
	MaxFileBytes int64            // default MaxFileBytes
}

// Trail is open for appending. All methods may be called concurrently.
type Trail struct {
	fsys   vfs.FS
	now    func() time.Time
	logger *slog.Logger
	most   int64
	atRest *atrest.Keys

	mu     sync.Mutex
	closed error // nothing can be appended any more, or never could
	failed bool  // an append failed, and nobody knows how far it came
	last   Head
	files  []uint64 // number of the first entry of each file
	log    *appender
	keys   *appender
}

// Head is where a trail ends.
type Head struct {
	Entries uint64 `json:"entries"`
	Hash    string `json:"hash"` // of the last one; of no line where there is none
}

// noHash stands in the first entry.
var noHash = hex.EncodeToString(make([]byte, sha256.Size))

// Open goes on with the trail of a data directory, which is made with its first entry. A line at the
// end that was not written to its end is of an act that was never begun, and is cut off. Errors:
// ErrCorrupt, and those of the disk.
func Open(fsys vfs.FS, opts Options) (*Trail, error) {
	t := &Trail{fsys: fsys, now: opts.Now, logger: opts.Logger, most: opts.MaxFileBytes, atRest: opts.AtRest, last: Head{Hash: noHash}}
	if t.now == nil {
		t.now = time.Now
	}
	if t.logger == nil {
		t.logger = slog.New(slog.DiscardHandler)
	}
	if t.most <= 0 {
		t.most = MaxFileBytes
	}
	var err error
	if t.files, err = filesOf(fsys); err != nil || len(t.files) == 0 {
		return t, err
	}
	return t, t.resume(t.files[len(t.files)-1])
}

// Broken is a trail that nothing can be appended to, because of that: nothing is done that can't be
// written down.
func Broken(why error) *Trail { return &Trail{closed: why, last: Head{Hash: noHash}} }

// resume opens the newest file, and finds its last entry.
func (t *Trail) resume(first uint64) (err error) {
	if t.log, err = openAppender(t.fsys, logName(first)); err != nil {
		return err
	}
	if t.keys, err = openAppender(t.fsys, keysName(first)); err != nil {
		return err
	}
	text, err := vfs.ReadFile(t.fsys, logName(first), maxRead)
	if err != nil {
		return fmt.Errorf("read the trail: %w", err)
	}
	t.last = Head{Entries: first - 1}
	whole := t.follow(text)
	if whole < len(text) {
		if err := t.setAside(first, text[whole:]); err != nil {
			return err
		}
	}
	keys, err := vfs.ReadFile(t.fsys, keysName(first), maxRead)
	if err != nil {
		return fmt.Errorf("read the keys of the trail: %w", err)
	}
	if err := errors.Join(t.log.cut(int64(whole)), t.keys.cut(int64(endOfLines(keys)))); err != nil {
		return err
	}
	if t.last.Entries == first-1 { // the file was made, and its first entry was not
		return t.dropEmpty()
	}
	return nil
}

// follow finds the last entry of a file, and returns where it ends.
func (t *Trail) follow(text []byte) (end int) {
	for rest := text[:endOfLines(text)]; len(rest) > 0; {
		var one []byte
		one, rest = firstLine(rest)
		l, err := parse(one)
		if err != nil || l.Seq != t.last.Entries+1 {
			break
		}
		t.last = Head{Entries: l.Seq, Hash: hashOf(one)}
		end += len(one) + 1
	}
	return end
}

// setAside keeps what stands behind the last entry that can be read: the act that a power cut has
// interrupted, which was not begun, or damage. Where entries stand behind it, it is damage, and
// nothing is done.
func (t *Trail) setAside(first uint64, rest []byte) error {
	for behind := rest; len(behind) > 0; {
		var one []byte
		one, behind = firstLine(behind)
		if l, err := parse(one); err == nil && l.Seq > t.last.Entries+1 {
			return fmt.Errorf("%s: the entry behind %d can't be read, and entry %d stands behind it; put the file back from a backup, or move the directory %s away to begin another trail: %w",
				logName(first), t.last.Entries, l.Seq, Directory, pillarbox.ErrCorrupt)
		}
	}
	name := logName(first) + tornSuffix
	t.logger.Warn("the end of the trail can't be read and was set aside: of an act that was not begun, or damaged",
		telemetry.KeyFile, name, telemetry.KeyBytes, len(rest))
	if err := vfs.WriteFile(t.fsys, name, rest); err != nil {
		return fmt.Errorf("set the end of the trail aside: %w", err)
	}
	return nil
}

// dropEmpty takes the newest file away, which has no entry, and goes on with the one before.
func (t *Trail) dropEmpty() error {
	newest := t.files[len(t.files)-1]
	t.closeFiles()
	for _, name := range []string{logName(newest), keysName(newest)} {
		if err := t.fsys.Remove(name); err != nil {
			return fmt.Errorf("trail: %w", err)
		}
	}
	if err := t.fsys.SyncDir(Directory); err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	t.files, t.last = t.files[:len(t.files)-1], Head{Hash: noHash}
	if len(t.files) == 0 {
		return nil
	}
	return t.resume(t.files[len(t.files)-1])
}

func (t *Trail) closeFiles() {
	for _, file := range []*appender{t.log, t.keys} {
		if file != nil {
			_ = file.file.Close() // all of it is synced
		}
	}
	t.log, t.keys = nil, nil
}

// Close is safe to call twice. Nothing can be appended any more.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeFiles()
	t.closed = pillarbox.ErrClosed
	return nil
}

// Head is where the trail ends.
func (t *Trail) Head() Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Append makes an act durable and returns its number. After an error nothing of it is there for those
// who come later: the next append takes it away first, and fails where that can't be done. Errors:
// those of the disk, as ErrUnavailable.
func (t *Trail) Append(act Act) (seq uint64, err error) {
	for _, text := range []*string{&act.Actor, &act.Address, &act.Action, &act.Object, &act.Request, &act.Result} {
		*text = shortened(*text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err = t.closed
	if err == nil && t.failed {
		err = t.mend()
	}
	if err == nil {
		err = t.append(act)
		t.failed = err != nil
	}
	if err != nil {
		return 0, fmt.Errorf("the trail of administration can't be written, so nothing is done: %w: %w", err, pillarbox.ErrUnavailable)
	}
	return t.last.Entries, nil
}

// mend takes away what a failed append has left.
func (t *Trail) mend() error {
	if t.log == nil {
		return nil // its files were not there yet
	}
	return errors.Join(t.log.mend(), t.keys.mend())
}

func (t *Trail) append(act Act) error {
	if err := t.room(); err != nil {
		return err
	}
	l := line{Seq: t.last.Entries + 1, At: pillarbox.TimestampOf(t.now()), Prev: t.last.Hash}
	key := make([]byte, keyBytes)
	rand.Read(key)
	plain, err := json.Marshal(act)
	if err != nil {
		return err
	}
	if l.Sealed, err = l.seal(key, plain); err != nil {
		return err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if t.atRest.Seals() {
		if key, err = t.atRest.Seal(nil, key, atrest.TrailKey); err != nil {
			return err
		}
	}
	// The key goes first: an entry without its key could not be told from one that was erased.
	if err := t.keys.append(keyLine(l.Seq, base64.StdEncoding.EncodeToString(key))); err != nil {
		return err
	}
	if err := t.log.append(append(text, '\n')); err != nil {
		return err
	}
	t.last = Head{Entries: l.Seq, Hash: hashOf(text)}
	return nil
}

// room begins another file where there is none, or the last one is full.
func (t *Trail) room() error {
	if t.log != nil && t.log.end < t.most {
		return nil
	}
	if err := vfs.MkdirAll(t.fsys, Directory); err != nil {
		return err
	}
	first := t.last.Entries + 1
	log, err := openAppender(t.fsys, logName(first))
	if err != nil {
		return err
	}
	keys, err := openAppender(t.fsys, keysName(first))
	if err != nil {
		return errors.Join(err, log.file.Close())
	}
	if err := errors.Join(log.sync(), keys.sync(), t.fsys.SyncDir(Directory), t.fsys.SyncDir(path.Dir(Directory))); err != nil {
		return errors.Join(err, log.file.Close(), keys.file.Close())
	}
	t.closeFiles()
	t.log, t.keys, t.files = log, keys, append(t.files, first)
	return nil
}

// keyBytes are those of a key of AES-256.
const keyBytes = 32

// aead is the cipher of one entry. Its key is used once, so that the nonce may be the same for all.
func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// place is what an entry is bound to besides its content.
func (l *line) place() []byte {
	b := binary.LittleEndian.AppendUint64(nil, l.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.At))
	return append(b, l.Prev...)
}

func (l *line) seal(key, plain []byte) ([]byte, error) {
	c, err := aead(key)
	if err != nil {
		return nil, err
	}
	return c.Seal(nil, make([]byte, c.NonceSize()), plain, l.place()), nil
}

func (l *line) open(key []byte) (*Act, error) {
	c, err := aead(key)
	if err != nil {
		return nil, err
	}
	plain, err := c.Open(nil, make([]byte, c.NonceSize()), l.Sealed, l.place())
	if err != nil {
		return nil, err
	}
	act := &Act{}
	return act, json.Unmarshal(plain, act)
}

// parse reads a line, which has to stand there as it is written: another way to write the same would
// be a change that the last entry of a trail could not prove.
func parse(text []byte) (l line, err error) {
	if err := json.Unmarshal(text, &l); err != nil {
		return l, err
	}
	again, err := json.Marshal(l)
	if err == nil && !bytes.Equal(again, text) {
		err = errors.New("it is not as it was written")
	}
	return l, err
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// shortened keeps the beginning of a text that is too long.
func shortened(text string) string {
	if len(text) <= MaxText {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:MaxText], len(text))
}
