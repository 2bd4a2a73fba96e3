package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// maxReplaced is how large an object is at most that Read and Replace are for.
const maxReplaced = 256 << 20

// Tree is a part of a bucket as files that never change, for an engine that keeps its own there. A name
// that ends in vfs.TempSuffix is an unfinished file in a directory on this machine; renaming it uploads it,
// in one request, so that nothing of an upload that fails is left in the bucket. An object is there as a
// whole or not at all, for everybody, and durable, when that has returned nil. Files are read by range, in
// blocks of BlockBytes. There are no directories: making one, or syncing one, does nothing.
//
// All methods may be called concurrently, and so may those of its files.
type Tree struct {
	objects
	scratch *vfs.Disk
}

// OpenTree opens the part of a bucket below a prefix. scratch is a directory of this tree alone, which is
// made where it is missing; unfinished files that an earlier process has left there are removed. No
// request is made. Close it.
func OpenTree(client API, bucket, prefix, kmsKey, scratch string) (*Tree, error) {
	if client == nil || bucket == "" {
		return nil, pillarbox.Invalid("files in S3 need a client and a bucket, as in s3://bucket/prefix")
	}
	disk, err := vfs.OpenDisk(scratch)
	if err != nil {
		return nil, fmt.Errorf("the directory for unfinished files: %w", err)
	}
	t := &Tree{objects: newObjects(client, bucket, prefix, kmsKey), scratch: disk}
	if err := t.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("the directory for unfinished files: %w", err), disk.Close())
	}
	return t, nil
}

func (t *Tree) clean() error {
	names, err := t.scratch.Names(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if vfs.IsTemp(name) {
			if err := t.scratch.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// Close closes the directory on this machine.
func (t *Tree) Close() error { return t.scratch.Close() }

// URL is the place in the bucket, without a slash at its end.
func (t *Tree) URL() string { return strings.TrimSuffix(t.url(""), "/") }

// Files are the files, whose calls end with ctx.
func (t *Tree) Files(ctx context.Context) vfs.FS { return &files{Tree: t, ctx: ctx} }

func (t *Tree) file(name string) *File {
	return &File{client: t.client, bucket: t.bucket, name: t.prefix + name, most: maxReplaced, kmsKey: t.kmsKey}
}

// Read is File.Read of an object of the tree.
func (t *Tree) Read(ctx context.Context, name, known string) (content []byte, version string, err error) {
	return t.file(name).Read(ctx, known)
}

// Replace is File.Write to an object of the tree.
func (t *Tree) Replace(ctx context.Context, name string, content []byte, known string) (version string, err error) {
	return t.file(name).Write(ctx, content, known)
}

// files is a tree for the time of a call.
type files struct {
	*Tree
	ctx context.Context // of the call that it was made for
}

// local is the name on this machine of an unfinished file.
func local(name string) string { return strings.ReplaceAll(name, "/", "%2F") }

// failed says which operation has failed. An object that is not there is fs.ErrNotExist.
func (f *files) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if code(err) == "NoSuchKey" {
		err = fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: f.url(name), Err: err}
}

// OpenFile implements vfs.FS. Objects are opened for reading only.
func (f *files) OpenFile(name string, flag int) (vfs.File, error) {
	if vfs.IsTemp(name) {
		file, err := f.scratch.OpenFile(local(name), flag)
		if err != nil {
			return nil, err
		}
		return unfinished{file}, nil
	}
	if flag != os.O_RDONLY {
		return nil, f.failed("open", name, fmt.Errorf("objects don't change: %w", fs.ErrPermission))
	}
	return f.openObject(name)
}

// unfinished is a file on this machine, which need not survive it: it is uploaded, or made again.
type unfinished struct{ vfs.File }

func (unfinished) Sync() error { return nil }

// Mkdir implements vfs.FS: any directory is there.
func (*files) Mkdir(string) error { return nil }

// SyncDir implements vfs.FS: a name is durable when it is there.
func (*files) SyncDir(string) error { return nil }

// Rename implements vfs.FS for an unfinished file, which it uploads, with a checksum that S3 checks.
func (f *files) Rename(oldname, newname string) error {
	if !vfs.IsTemp(oldname) || vfs.IsTemp(newname) {
		return f.failed("rename", oldname, fmt.Errorf("to %s: objects don't change: %w", newname, fs.ErrPermission))
	}
	file, err := f.scratch.OpenFile(local(oldname), os.O_RDONLY)
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err == nil {
		in := &s3.PutObjectInput{Bucket: &f.bucket, Key: aws.String(f.prefix + newname), Body: io.NewSectionReader(file, 0, size),
			ContentLength: &size, ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
		f.encrypt(in)
		_, err = f.client.PutObject(f.ctx, in)
		err = f.failed("put", newname, err)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return f.scratch.Remove(local(oldname))
}

// Remove implements vfs.FS. An object that is not there is removed, too.
func (f *files) Remove(name string) error {
	if vfs.IsTemp(name) {
		return f.scratch.Remove(local(name))
	}
	_, err := f.client.DeleteObject(f.ctx, &s3.DeleteObjectInput{Bucket: &f.bucket, Key: aws.String(f.prefix + name)})
	return f.failed("delete", name, err)
}

// ReadDir implements vfs.FS: a request for each thousand names, and one that is not there is empty.
func (f *files) ReadDir(dir string) (entries []vfs.Entry, err error) {
	prefix := f.prefix
	if dir != "." {
		prefix += dir + "/"
	}
	pages := s3.NewListObjectsV2Paginator(f.client,
		&s3.ListObjectsV2Input{Bucket: &f.bucket, Prefix: &prefix, Delimiter: aws.String("/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(f.ctx)
		if err != nil {
			return nil, f.failed("list", dir, err)
		}
		for _, o := range page.Contents {
			if name := strings.TrimPrefix(aws.ToString(o.Key), prefix); name != "" { // what consoles make as a directory
				entries = append(entries, vfs.Entry{Name: name, Size: aws.ToInt64(o.Size)})
			}
		}
		for _, p := range page.CommonPrefixes {
			entries = append(entries, vfs.Entry{Name: path.Base(aws.ToString(p.Prefix)), Dir: true})
		}
	}
	names, err := f.scratch.Names(".")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if whole := strings.ReplaceAll(name, "%2F", "/"); path.Dir(whole) == dir {
			entries = append(entries, vfs.Entry{Name: path.Base(whole)})
		}
	}
	slices.SortFunc(entries, func(a, b vfs.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Names implements vfs.FS.
func (f *files) Names(dir string) ([]string, error) {
	entries, err := f.ReadDir(dir)
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = entries[i].Name
	}
	return names, err
}

// What follows has no meaning in a bucket.

// Usage implements vfs.FS: a bucket has no bound.
func (*files) Usage() (vfs.Usage, error) { return vfs.Usage{}, errors.ErrUnsupported }

// IsFile implements vfs.FS.
func (*files) IsFile(string, vfs.File) (bool, error) { return false, errors.ErrUnsupported }

// SyncAll implements vfs.FS: it can't.
func (*files) SyncAll() (done bool, err error) { return false, nil }

// Changed implements vfs.FS: nobody says.
func (*files) Changed(string) (time.Time, error) { return time.Time{}, nil }

// Uncache implements vfs.FS.
func (*files) Uncache(string) error { return nil }
