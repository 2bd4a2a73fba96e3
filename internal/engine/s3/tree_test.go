package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"pillarbox"
	"pillarbox/internal/engine/s3"
	"pillarbox/internal/vfs"
	"pillarbox/test/setting"
	"pillarbox/test/standin/fakes3"
)

// openTree opens the prefix "a/b" of the bucket.
func openTree(t *testing.T, bucket *fakes3.Bucket) (tree *s3.Tree, scratch string) {
	t.Helper()
	client := awss3.New(awss3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://fakes3.example"), UsePathStyle: true,
		HTTPClient: bucket, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	scratch = filepath.Join(t.TempDir(), "scratch")
	tree, err := s3.OpenTree(client, fakes3.Name, "/a/b/", "", scratch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree, scratch
}

// Any range of an object is what was put there, however its size and the blocks lie, in few requests.
func TestRangesOfAnObject(t *testing.T) {
	random := rand.New(rand.NewPCG(setting.Seed(t), 0))
	const block = s3.BlockBytes
	for _, size := range []int{0, 1, block - 1, block, block + 1, 2*block + 17, 40*block + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			bucket := &fakes3.Bucket{}
			content := make([]byte, size)
			for i := range content {
				content[i] = byte(random.Uint32())
			}
			bucket.Put("a/b/dir/x", content)
			tree, _ := openTree(t, bucket)
			file, err := tree.Files(t.Context()).OpenFile("dir/x", os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := file.Size(); err != nil || got != int64(size) {
				t.Fatalf("size %d, %v, want %d", got, err, size)
			}
			for range 300 {
				at, n := random.IntN(size+10), random.IntN(1+[]int{100, block, 20 * block}[random.IntN(3)])
				p := make([]byte, n)
				got, err := file.ReadAt(p, int64(at))
				want := content[min(at, size):min(at+n, size)]
				if got != len(want) || !bytes.Equal(p[:got], want) || (got < n) != errors.Is(err, io.EOF) || err != nil && !errors.Is(err, io.EOF) {
					t.Fatalf("read %d at %d: %d bytes, %v, want %d", n, at, got, err, len(want))
				}
			}
			before := len(bucket.Calls())
			if _, err := file.ReadAt(make([]byte, size), 0); err != nil {
				t.Fatal(err)
			}
			if calls := len(bucket.Calls()) - before; calls > 17 {
				t.Errorf("all of it takes %d requests", calls)
			}
		})
	}
}

// What is read of an object is of one version of it.
func TestObjectThatIsReplacedWhileItIsRead(t *testing.T) {
	bucket := &fakes3.Bucket{}
	bucket.Put("a/b/x", make([]byte, 3*s3.BlockBytes))
	tree, _ := openTree(t, bucket)
	file, err := tree.Files(t.Context()).OpenFile("x", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	bucket.Put("a/b/x", bytes.Repeat([]byte{1}, 3*s3.BlockBytes))
	if _, err := file.ReadAt(make([]byte, 10), 0); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("read: %v, want ErrCorrupt", err)
	}
}

// Unfinished files are on the machine, finished ones in the bucket, and a list shows both below their
// directory.
func TestFilesOfATree(t *testing.T) {
	bucket := &fakes3.Bucket{}
	bucket.Put("a/bc/other", nil)
	tree, scratch := openTree(t, bucket)
	files := tree.Files(t.Context())
	var want []string
	for i := range 12 { // more than a page of the list
		name := fmt.Sprintf("dir/%02d", i)
		if err := vfs.WriteFile(files, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		want = append(want, name[4:])
	}
	if _, err := vfs.Create(files, "dir/new.tmp"); err != nil {
		t.Fatal(err)
	}
	want = append(want, "new.tmp")
	if names, err := files.Names("dir"); err != nil || !slices.Equal(names, want) {
		t.Errorf("names %v, %v, want %v", names, err, want)
	}
	entries, err := files.ReadDir(".")
	if err != nil || len(entries) != 1 || entries[0] != (vfs.Entry{Name: "dir", Dir: true}) {
		t.Errorf("the root has %v, %v", entries, err)
	}
	if content, err := vfs.ReadFile(files, "dir/03", 100); err != nil || string(content) != "dir/03" {
		t.Errorf("%q, %v", content, err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 1 {
		t.Errorf("on the machine are %v, %v; want the unfinished one", left, err)
	}
	for _, name := range []string{"dir/03", "dir/03", "dir/new.tmp"} {
		if err := files.Remove(name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if _, err := files.OpenFile("dir/03", os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is removed: %v", err)
	}
	for what, err := range map[string]error{"write": vfs.WriteFile(files, "x.tmp", nil), "rename": files.Rename("dir/04", "dir/05")} {
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A bucket that is not there is no empty one, and a call ends with its context.
func TestErrorsOfATree(t *testing.T) {
	bucket := &fakes3.Bucket{Fault: func(fakes3.Op) fakes3.Fault { return fakes3.Refused }}
	tree, _ := openTree(t, bucket)
	_, err := tree.Files(t.Context()).OpenFile("x", os.O_RDONLY)
	var path *fs.PathError
	if !errors.As(err, &path) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "s3://bucket/a/b/x") {
		t.Errorf("open: %v", err)
	}
	bucket.Fault = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tree.Files(ctx).Names("."); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v, want context.Canceled", err)
	}
	if _, _, err := tree.Read(t.Context(), "manifest", ""); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("read: %v, want ErrNotFound", err)
	}
	for _, op := range bucket.Calls() {
		if op.Method != http.MethodGet {
			t.Errorf("%s %s", op.Method, op.Key)
		}
	}
	if _, err := s3.OpenTree(nil, "", "", "", t.TempDir()); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("without a bucket: %v", err)
	}
}
