package catalog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/engine/s3"
)

// parseParquet returns the path, which is empty for a directory of the destination's name.
func parseParquet(key, rest string) (path string, err error) {
	mistake := ""
	first, _, _ := strings.Cut(filepath.ToSlash(filepath.Clean(rest)), "/")
	switch {
	case strings.HasPrefix(rest, "//"):
		mistake = "has a host"
	case strings.ContainsAny(rest, "?#"):
		mistake = "has options"
	case rest != "" && !filepath.IsAbs(rest) && !filepath.IsLocal(rest):
		mistake = "is outside of the data directory; write the whole path, from / on"
	case rest != "" && filepath.Clean(rest) == ".":
		mistake = "is the data directory itself"
	case first == QueueDir || first == LettersDir || first == LockFile:
		mistake = "is a name that pillarbox uses itself"
	}
	if mistake != "" {
		return "", pillarbox.Invalid("%s: want parquet: or parquet:DIRECTORY, and %q %s", key, rest, mistake)
	}
	return rest, nil
}

// parquetPath is relative to the data directory, if it is not absolute.
func parquetPath(name, rest string) string {
	if rest == "" {
		return name
	}
	return filepath.Clean(rest)
}

func openParquet(_ context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	if _, err := parseParquet(sinkKey(name), rest); err != nil {
		return nil, err
	}
	path := parquetPath(name, rest)
	if !filepath.IsAbs(path) {
		path = filepath.Join(place.Data.Dir(), path)
	}
	return parquet.Open(path, parquet.Options{Logger: place.Logger}), nil
}

// parquetBucket is the scheme of a store in a bucket.
const parquetBucket = "parquet+s3"

// uploadsDir is where, below the data directory, files of a destination in a bucket are made before they
// are put there.
const uploadsDir = "parquet-uploads"

// parseParquetBucket reads "//BUCKET/PREFIX?region=REGION&path_style=true&kms_key=ARN".
func parseParquetBucket(key, rest string) (awsURL, error) {
	at, err := parseLetters(key, rest)
	if err != nil {
		return awsURL{}, err
	}
	mistake := ""
	switch {
	case at.path == "":
		mistake = "names no prefix: the bucket is for files of this destination alone then, and for no other"
	case strings.ContainsAny(at.path, "*?[]{}\\") || strings.Contains(at.path, "//"):
		mistake = "has a prefix with * ? [ ] { } \\ or //, which readers would take for a pattern, or lose"
	case slices.Contains([]string{"", "true", "false"}, at.parameters.Get("path_style")):
	default:
		mistake = fmt.Sprintf("has path_style=%s, which is true or false", at.parameters.Get("path_style"))
	}
	if mistake != "" {
		return awsURL{}, pillarbox.Invalid("%s: want parquet+s3://BUCKET/PREFIX, and %q %s", key, rest, mistake)
	}
	return at, nil
}

// place is the same for all ways to write one URL.
func (u awsURL) place() string { return "//" + u.host + "/" + u.path }

func openParquetBucket(_ context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	at, err := parseParquetBucket(sinkKey(name), rest)
	if err != nil {
		return nil, err
	}
	client, err := at.s3(uploadTimeout)
	if err != nil {
		return nil, err
	}
	scratch := filepath.Join(place.Data.Dir(), uploadsDir, name)
	open := func() (parquet.Bucket, error) {
		return opened[parquet.Bucket](s3.OpenTree(client, at.host, at.path, at.parameters.Get("kms_key"), scratch))
	}
	return parquet.OpenBucket("s3:"+at.place(), open, parquet.Options{Logger: place.Logger}), nil
}

// nested returns the directory of another destination that a directory is in, or that is in it: a glob
// over the one would find the events of the other.
func nested(scheme, dir string, others map[string]string) (owner string, is bool) {
	for place, name := range others {
		other, found := strings.CutPrefix(place, scheme+":")
		if found && (strings.HasPrefix(dir, other+"/") || strings.HasPrefix(other, dir+"/")) {
			return name, true
		}
	}
	return "", false
}
