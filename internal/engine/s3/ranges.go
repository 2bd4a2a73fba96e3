package s3

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"pillarbox"
	"pillarbox/internal/vfs"
)

const (
	// BlockBytes is what is read of an object at once, at least: as much as takes about as long to send
	// as to ask for. The first request reads the last block: what says where everything is stands there.
	BlockBytes = 256 << 10
	// maxBlocks is how many blocks of an open object are in memory.
	maxBlocks = 16
)

// openObject is an object that is open for reading. What is read is of one version of it.
type openObject struct {
	files   *files
	name    string
	version string
	size    int64

	mu     sync.Mutex
	blocks map[int64][]byte // by their number; guarded by mu
	order  []int64          // which was asked for last is last; guarded by mu
}

// openObject reads the end of an object, and so finds out its size.
func (f *files) openObject(name string) (vfs.File, error) {
	out, err := f.client.GetObject(f.ctx, &s3.GetObjectInput{Bucket: &f.bucket, Key: aws.String(f.prefix + name),
		Range: aws.String(fmt.Sprintf("bytes=-%d", BlockBytes))})
	o := &openObject{files: f, name: name, blocks: map[int64][]byte{}}
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable { // it is empty
		return o, nil
	}
	if err != nil {
		return nil, f.failed("get", name, err)
	}
	content, err := io.ReadAll(io.LimitReader(out.Body, maxReplaced))
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, f.failed("get", name, err)
	}
	o.version = aws.ToString(out.ETag)
	if o.size, err = sizeOf(out, len(content)); err != nil {
		return nil, f.failed("get", name, err)
	}
	// Whole blocks of what came, and the last, are kept.
	start := o.size - int64(len(content))
	for n := (start + BlockBytes - 1) / BlockBytes; n*BlockBytes < o.size; n++ {
		o.keep(n, content[n*BlockBytes-start:min(int64(len(content)), (n+1)*BlockBytes-start)])
	}
	return o, nil
}

// sizeOf is the size of the object that a range was asked of.
func sizeOf(out *s3.GetObjectOutput, got int) (int64, error) {
	if out.ContentRange == nil {
		return int64(got), nil // a small one may come as a whole
	}
	_, total, _ := strings.Cut(*out.ContentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil || size < int64(got) {
		return 0, fmt.Errorf("the answer is for the range %q, and has %d bytes", *out.ContentRange, got)
	}
	return size, nil
}

// keep remembers a block, and forgets the one that was asked for longest ago. The caller has mu, or the
// object alone.
func (o *openObject) keep(n int64, block []byte) {
	o.blocks[n] = block
	o.order = append(slices.DeleteFunc(o.order, func(other int64) bool { return other == n }), n)
	if len(o.order) > maxBlocks {
		delete(o.blocks, o.order[0])
		o.order = o.order[1:]
	}
}

// ReadAt implements io.ReaderAt.
func (o *openObject) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, o.files.failed("get", o.name, fs.ErrInvalid)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(p) && at < o.size {
		block := at / BlockBytes
		content, there := o.blocks[block]
		if !there {
			if content, err = o.fetch(block, (min(at+int64(len(p)-n), o.size)-1)/BlockBytes); err != nil {
				return n, err
			}
		}
		o.keep(block, content[:min(len(content), BlockBytes)])
		some := copy(p[n:], content[at-block*BlockBytes:])
		n, at = n+some, at+int64(some)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fetch reads the blocks from first to last, as far as none of them is there, and keeps the last ones.
func (o *openObject) fetch(first, last int64) ([]byte, error) {
	end := first + 1
	for end <= last && o.blocks[end] == nil {
		end++
	}
	from, to := first*BlockBytes, min(end*BlockBytes, o.size)
	out, err := o.files.client.GetObject(o.files.ctx, &s3.GetObjectInput{Bucket: &o.files.bucket,
		Key: aws.String(o.files.prefix + o.name), IfMatch: &o.version, Range: aws.String(fmt.Sprintf("bytes=%d-%d", from, to-1))})
	if statusOf(err) == http.StatusPreconditionFailed {
		return nil, &pillarbox.CorruptError{File: o.files.url(o.name), Reason: "somebody has replaced it while it was read"}
	}
	if err != nil {
		return nil, o.files.failed("get", o.name, err)
	}
	content := make([]byte, to-from)
	_, err = io.ReadFull(out.Body, content)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, o.files.failed("get", o.name, err)
	}
	for n := end - 1; n >= first && n >= end-maxBlocks; n-- {
		o.keep(n, content[n*BlockBytes-from:min(int64(len(content)), (n+1)*BlockBytes-from)])
	}
	return content, nil
}

// Size implements vfs.File.
func (o *openObject) Size() (int64, error) { return o.size, nil }

// Linked implements vfs.File.
func (o *openObject) Linked() (bool, error) { return true, nil }

// Close implements vfs.File.
func (o *openObject) Close() error { return nil }

// Sync implements vfs.File: an object is durable.
func (o *openObject) Sync() error { return nil }

func (o *openObject) unchanging() error {
	return o.files.failed("write", o.name, fmt.Errorf("objects don't change: %w", fs.ErrPermission))
}

// WriteAt implements vfs.File: it fails.
func (o *openObject) WriteAt([]byte, int64) (int, error) { return 0, o.unchanging() }

// WriteZeros implements vfs.File: it fails.
func (o *openObject) WriteZeros(int64, int64) error { return o.unchanging() }

// Truncate implements vfs.File: it fails.
func (o *openObject) Truncate(int64) error { return o.unchanging() }
