package catalog

import (
	"context"
	"path/filepath"
	"strings"

	"pillarbox"
	"pillarbox/internal/engine/parquet"
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

// nested returns the directory of another destination that a directory is in, or that is in it: a glob
// over the one would find the events of the other.
func nested(dir string, others map[string]string) (owner string, is bool) {
	for place, name := range others {
		other, found := strings.CutPrefix(place, "parquet:")
		if found && (strings.HasPrefix(dir, other+"/") || strings.HasPrefix(other, dir+"/")) {
			return name, true
		}
	}
	return "", false
}
