package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// Input is what a configuration is made of. The zero value is the defaults and the environment.
type Input struct {
	// Path of the file. Empty for none; a file that is named must be there.
	Path string
	// Text is used instead of the content of the file where it is not nil. Path then only names it in
	// errors.
	Text []byte
	// Env looks an environment variable up. nil is os.LookupEnv. A variable that is set to nothing
	// counts as not set.
	Env func(name string) (string, bool)
	// Environ are all the variables there are, as NAME=VALUE, to find those that set nothing. nil is
	// os.Environ where Env is nil too, and else none.
	Environ []string
	// Flags are the values that were given on the command line, by key ("admin.listen").
	Flags map[string]string
}

// The origins of a value. A flag goes before the environment, the environment before the file, and
// the file before a preset.
const (
	OriginDefault = "default"
	OriginFile    = "file"
	OriginEnv     = "env"
	OriginFlag    = "flag"
	OriginPreset  = "preset" // of a source
)

// mark says where a value was set.
type mark struct {
	origin string
	where  string // file:line:column, name of the variable, or "command line"
	raw    string // as it stands there, before references were replaced
}

// Load reads, merges and checks a configuration. The error joins everything that is wrong, each on
// a line of its own with its place, its key and what to do; no part of it holds a secret.
func Load(input Input) (*Config, error) {
	l := &loader{config: Default(), file: input.Path, env: input.Env}
	l.config.marks = make(map[string]mark)
	if l.env == nil {
		l.env = os.LookupEnv
		if input.Environ == nil {
			input.Environ = os.Environ()
		}
	}
	asked := l.noteEnv()
	text, err := input.text()
	if err != nil {
		return nil, err
	}
	l.readFile(text)
	l.readEnv()
	l.readFlags(input.Flags)
	l.config.resolve()
	l.config.resolveWebhooks()
	l.config.resolveBatches()
	l.config.resolveAlerts()
	if queue := &l.config.Queue; !l.config.IsSet("queue.keep_bytes") {
		queue.KeepBytes = min(queue.KeepBytes, queue.MaxBytes)
	}
	if len(l.errs) == 0 {
		l.errs = validate(l.config)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	l.config.unknowns = unknowns(input.Environ, asked)
	return l.config, nil
}

func (i Input) text() ([]byte, error) {
	if i.Text != nil || i.Path == "" {
		return i.Text, checkSize(i.Path, i.Text)
	}
	file, err := openFile(i.Path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return text, checkSize(i.Path, text)
}

// openFile opens the file without waiting for anybody: a server that reloads would stand still with
// a pipe that nobody writes to. A pipe that the caller has opened, as in --config <(command), has
// its writer.
func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a directory; name the file in it", path)
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 && !isDescriptor(path):
		err = fmt.Errorf("%s is a named pipe or a socket; name a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// isDescriptor reports whether a path is a file that this process has got open.
func isDescriptor(path string) bool {
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") ||
		strings.HasPrefix(path, "/proc/self/fd/")
}

func checkSize(path string, text []byte) error {
	if len(text) > MaxFileBytes {
		return fmt.Errorf("configuration: %s is larger than %v", path, ByteSize(MaxFileBytes))
	}
	return nil
}

// loader merges the three into one configuration and collects what is wrong.
type loader struct {
	config *Config
	file   string
	env    func(string) (string, bool)
	errs   []error
}

func (l *loader) readEnv() {
	settable := l.settable()
	for _, key := range Keys() {
		name, value := EnvName(key), settable[key]
		if text, ok := l.env(name); ok && text != "" {
			l.set(key, value, text, mark{origin: OriginEnv, where: name, raw: text})
		}
	}
}

func (l *loader) readFlags(flags map[string]string) {
	settable := l.settable()
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		text := flags[key]
		value, ok := settable[key]
		if !ok {
			l.errs = append(l.errs, fmt.Errorf("command line: unknown key %q", key))
			continue
		}
		l.set(key, value, text, mark{origin: OriginFlag, where: "command line", raw: text})
	}
}

// settable returns the values that flags and the environment can set.
func (l *loader) settable() map[string]reflect.Value {
	keys := Keys()
	values := make(map[string]reflect.Value, len(keys))
	walk(reflect.ValueOf(l.config).Elem(), "", func(key string, value reflect.Value) {
		if slices.Contains(keys, key) {
			values[key] = value
		}
	})
	return values
}

func (l *loader) set(key string, value reflect.Value, text string, from mark) {
	if value.Type() == secretType {
		from.raw = "" // kept for errors, which must not repeat a secret
	}
	l.config.marks[key] = from
	if err := setText(value, text); err != nil {
		l.errs = append(l.errs, problem(from, key, "%q: %w", from.raw, err))
	}
}

// problem is an error with its place, if it has one, and its key.
func problem(at mark, key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if key != "" {
		err = fmt.Errorf("%s: %w", key, err)
	}
	if at.where != "" {
		err = fmt.Errorf("%s: %w", at.where, err)
	}
	return err
}

// trimMark removes the byte order mark that some editors put in front.
func trimMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }
