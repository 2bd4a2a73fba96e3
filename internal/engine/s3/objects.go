package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"pillarbox/internal/deadletterfile"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"pillarbox"
)

// API is what is used of the client of S3.
type API interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput,
		options ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(ctx context.Context, in *s3.GetObjectInput,
		options ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	DeleteObject(ctx context.Context, in *s3.DeleteObjectInput,
		options ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input,
		options ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// MaxObjectBytes is the largest object that is read, as everywhere else where dead letters are: the
// largest letter is one whose body is control characters.
const MaxObjectBytes = deadletterfile.MaxFileBytes

// objects is a part of a bucket.
type objects struct {
	client API
	bucket string
	prefix string // ends in a slash, or is empty
	kmsKey string
}

func newObjects(client API, bucket, prefix, kmsKey string) objects {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return objects{client: client, bucket: bucket, prefix: prefix, kmsKey: kmsKey}
}

// put stores the object with its checksum.
func (o *objects) put(ctx context.Context, name, contentType string, content []byte) error {
	in := &s3.PutObjectInput{
		Bucket: &o.bucket, Key: aws.String(o.prefix + name), Body: bytes.NewReader(content),
		ContentType: &contentType, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	}
	o.encrypt(in)
	_, err := o.client.PutObject(ctx, in)
	return o.kind("put", name, err)
}

// encrypt says with which key, unless that is the bucket's choice.
func (o *objects) encrypt(in *s3.PutObjectInput) {
	if o.kmsKey != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &o.kmsKey
	}
}

func (o *objects) get(ctx context.Context, name string) ([]byte, error) {
	out, err := o.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &o.bucket, Key: aws.String(o.prefix + name), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, o.kind("get", name, err)
	}
	content, err := io.ReadAll(io.LimitReader(out.Body, MaxObjectBytes+1))
	err = errors.Join(err, out.Body.Close())
	switch {
	case err != nil && strings.Contains(err.Error(), "checksum did not match"): // the SDK has no type for it
		return nil, &pillarbox.CorruptError{File: o.url(name), Reason: err.Error()}
	case err != nil:
		return nil, o.kind("get", name, err)
	case len(content) > MaxObjectBytes:
		return nil, &pillarbox.CorruptError{File: o.url(name), Offset: MaxObjectBytes,
			Reason: "larger than anything that is written here"}
	}
	return content, nil
}

// remove deletes the object. One that is gone is fine.
func (o *objects) remove(ctx context.Context, name string) error {
	_, err := o.client.DeleteObject(ctx,
		&s3.DeleteObjectInput{Bucket: &o.bucket, Key: aws.String(o.prefix + name)})
	if err = o.kind("delete", name, err); errors.Is(err, pillarbox.ErrNotFound) {
		return nil
	}
	return err
}

// list calls visit with every object, and its name without the prefix.
func (o *objects) list(ctx context.Context, visit func(name string, object *types.Object)) error {
	pages := s3.NewListObjectsV2Paginator(o.client,
		&s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &o.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return o.kind("list", "", err)
		}
		for i := range page.Contents {
			visit(strings.TrimPrefix(aws.ToString(page.Contents[i].Key), o.prefix), &page.Contents[i])
		}
	}
	return nil
}

func (o *objects) url(name string) string { return "s3://" + o.bucket + "/" + o.prefix + name }

// kind says which of our errors an error of the SDK is. S3 refuses nothing for its content:
// whatever it says, it may say otherwise after somebody has mended the bucket, its policy or the
// network.
func (o *objects) kind(what, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case code(err) == "NoSuchKey" || code(err) == "NotFound":
		return fmt.Errorf("%s %s: %w", what, o.url(name), pillarbox.ErrNotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", what, o.url(name), err)
	}
	return fmt.Errorf("%s %s: %w: %w", what, o.url(name), pillarbox.ErrUnavailable, err)
}

// code returns S3's own name of an error.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
