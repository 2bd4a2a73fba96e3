package stack

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Roles are the functions, each of which is built with what its role needs and no more.
var Roles = []string{"accept", "deliver", "deadletter"}

// command is the package of the functions, below the root of the source.
const command = "cmd/pillarbox-lambda"

// zipDir is where the functions are put, below the root of the source.
const zipDir = "bin/lambda"

// GoVersion is the oldest Go that builds the functions.
const GoVersion = "1.26"

// NeedGo says what to install where there is no Go to build the functions with.
func NeedGo() error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("go is not there, and the functions are built from source; install Go %s or newer (https://go.dev/dl/)", GoVersion)
	}
	return nil
}

// PackedSources is the name of the file of sources in the zip of accept, as the module tells the
// function.
const PackedSources = "sources.yaml"

// BuildFunctions builds the functions for Lambda (Linux on arm64) from the source, each into a zip
// of its own, and returns the paths of the zips by role, as seen from the module. The text of a file
// of sources is packed with accept; nil for none.
func BuildFunctions(ctx context.Context, source string, sources []byte, talk io.Writer) (map[string]string, error) {
	zips := map[string]string{}
	var err error
	for _, role := range Roles {
		dir := filepath.Join(source, zipDir, role)
		if err = os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		binary := filepath.Join(dir, "bootstrap")
		build := Command{
			Dir: source, Name: "go",
			Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"},
			Args: []string{
				"build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc,pillarbox_" + role, "-ldflags", "-s -w -buildid=",
				"-o", filepath.Join(zipDir, role, "bootstrap"), "./" + command,
			},
		}
		if err = build.Run(ctx, talk); err != nil {
			return nil, fmt.Errorf("build the function %s: %w", role, err)
		}
		zipped := filepath.Join(source, zipDir, role+".zip")
		var beside []byte
		if role == "accept" {
			beside = sources
		}
		if err = zipFile(binary, zipped, beside); err != nil {
			return nil, fmt.Errorf("pack the function %s: %w", role, err)
		}
		if zips[role], err = filepath.Rel(filepath.Join(source, Module), zipped); err != nil {
			return nil, err
		}
	}
	return zips, nil
}

// zipTime is when everything in a zip was changed, so that it depends on nothing but what is in it.
// It is the earliest that the format knows.
var zipTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipFile packs one executable, and a file of sources beside it where there is one.
func zipFile(from, to string, sources []byte) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	add := func(name string, mode os.FileMode, content []byte) error {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: zipTime}
		header.SetMode(mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		return err
	}
	if err := add(filepath.Base(from), 0o755, content); err != nil {
		return err
	}
	if sources != nil {
		if err := add(PackedSources, 0o644, sources); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, packed.Bytes(), 0o644)
}
