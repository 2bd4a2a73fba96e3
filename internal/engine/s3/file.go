package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"pillarbox"
)

// File is one object of which whoever reads it wants to know whether it has changed, and of which
// no writer takes away what another has written. All methods may be called concurrently.
type File struct {
	client       API
	bucket, name string
	most         int64 // bytes
	kmsKey       string
}

// NewFile names an object, of at most so many bytes. It makes no call. Errors: ErrInvalid.
func NewFile(client API, bucket, name string, most int64) (*File, error) {
	if client == nil || bucket == "" || name == "" {
		return nil, pillarbox.Invalid("a file in a bucket needs a client, a bucket and a name")
	}
	return &File{client: client, bucket: bucket, name: name, most: most}, nil
}

// String is the URL of the object.
func (f *File) String() string { return "s3://" + f.bucket + "/" + f.name }

// Read returns the content and its version, or known and no content where that is still the version;
// an empty known is none. Errors: ErrNotFound for an object that is not there, ErrCorrupt for one
// that is too large, ErrUnavailable.
func (f *File) Read(ctx context.Context, known string) (content []byte, version string, err error) {
	in := &s3.GetObjectInput{Bucket: &f.bucket, Key: &f.name}
	if known != "" {
		in.IfNoneMatch = &known
	}
	out, err := f.client.GetObject(ctx, in)
	switch {
	case known != "" && statusOf(err) == http.StatusNotModified:
		return nil, known, nil
	case err != nil:
		return nil, "", f.objects().kind("get", f.name, err)
	}
	content, err = io.ReadAll(io.LimitReader(out.Body, f.most+1))
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, "", f.objects().kind("get", f.name, err)
	}
	if int64(len(content)) > f.most {
		return nil, "", &pillarbox.CorruptError{File: f.String(), Offset: f.most,
			Reason: "larger than anything that is written here"}
	}
	if out.ETag != nil {
		version = *out.ETag
	}
	return content, version, nil
}

// Write puts the content in the place of the version that was read, or where nothing was where that
// is empty, and returns the new version. Errors: ErrConflict where somebody else has written
// meanwhile, ErrUnavailable.
func (f *File) Write(ctx context.Context, content []byte, known string) (version string, err error) {
	in := &s3.PutObjectInput{Bucket: &f.bucket, Key: &f.name, Body: bytes.NewReader(content),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	f.objects().encrypt(in)
	if nothing := "*"; known == "" {
		in.IfNoneMatch = &nothing
	} else {
		in.IfMatch = &known
	}
	out, err := f.client.PutObject(ctx, in)
	switch status := statusOf(err); {
	case status == http.StatusPreconditionFailed || status == http.StatusConflict || known != "" && status == http.StatusNotFound:
		return "", fmt.Errorf("put %s: somebody else has changed it meanwhile; do it again: %w: %w", f, pillarbox.ErrConflict, err)
	case err != nil:
		return "", f.objects().kind("put", f.name, err)
	}
	if out.ETag != nil {
		version = *out.ETag
	}
	return version, nil
}

func (f *File) objects() *objects { return &objects{bucket: f.bucket, kmsKey: f.kmsKey} }

// statusOf is the status of the answer that an error is of; 0 for none.
func statusOf(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
