// Package catalog is the one table of engines: URL scheme to opening. There is no registration; an
// engine is here or it does not exist.
//
// It promises errors that name the key of the configuration and list what is possible. It decides
// where relative paths lie: below the data directory. It holds no engine open itself.
package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/engine/sqlite"
	"pillarbox/internal/engine/sqs"
	"pillarbox/internal/vfs"
)

// Names below the data directory.
const (
	QueueDir   = "queue"        // of the embedded log
	LettersDir = "dead-letters" // of dead letters
	LockFile   = "LOCK"         // locked for as long as a process has the data directory open
)

// Place is where engines live that keep something on this machine.
type Place struct {
	Data      *vfs.Disk    // the data directory; nil where NeedsData says that no engine needs one
	ReadOnly  bool         // open queues without writing
	AtRest    *atrest.Keys // seals what engines keep on this machine, but for SQLite; nil: nothing does
	BodiesURL string       // where engines keep bodies that are too large for them; empty for nowhere
	Logger    *slog.Logger // nil: discard

	Now func() time.Time // the date; nil: time.Now
}

// NeedsData reports whether the engine of the URL keeps something below the data directory.
func NeedsData(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return inData[scheme]
}

// inData are the schemes of engines that keep something below the data directory.
var inData = map[string]bool{"seglog": true, "sqlite": true, "files": true, "parquet": true, parquetBucket: true}

// QueueOptions are the limits of a queue. Zero means the engine's default.
type QueueOptions struct {
	MaxBytes      int64
	KeepBytes     int64 // of delivered events that the embedded log keeps; negative for none
	MinFreeBytes  int64
	SegmentBytes  int64
	Meter         seglog.Meter
	MaxAge        time.Duration        // after which events become dead letters
	Elapsed       func() time.Duration // by which the embedded log measures how long events wait
	CommitTimeout time.Duration        // after which a disk that does not answer hangs; 0: never
	MaxRetryWait  time.Duration        // the longest wait between two attempts
}

// queues opens each kind of queue.
var queues = map[string]func(place Place, rest string, options QueueOptions) (pillarbox.Queue,
	error){
	"seglog": openSeglog,
	"sqs":    openSQS,
}

// sinks opens each kind of destination. name is the destination's.
var sinks = map[string]func(ctx context.Context, place Place, name, rest string) (pillarbox.Sink,
	error){
	"sqlite":      openSQLite,
	"dynamodb":    openDynamoDB,
	"postgres":    openPostgres,
	"https":       openWebhook("https"),
	"http":        openWebhook("http"),
	"parquet":     openParquet,
	parquetBucket: openParquetBucket,
	"nats":        openPlainBroker("nats"),
	"kafka":       openPlainBroker("kafka"),
}

// deadLetters opens each kind of dead letters.
var deadLetters = map[string]func(place Place, rest string) (pillarbox.DeadLetters, error){
	"files": openFiles,
	"s3":    openS3,
}

// OpenQueue opens the queue that a URL names.
func OpenQueue(place Place, url string, options QueueOptions) (pillarbox.Queue, error) {
	rest, open, err := lookup("queue.url", url, queues)
	if err != nil {
		return nil, err
	}
	return open(place, rest, options)
}

// OpenSink opens the destination that a URL names.
func OpenSink(ctx context.Context, place Place, name, url string) (pillarbox.Sink, error) {
	rest, open, err := lookup(sinkKey(name), url, sinks)
	if err != nil {
		return nil, err
	}
	return open(ctx, place, name, rest)
}

// OpenDeadLetters opens the dead letters that a URL names.
func OpenDeadLetters(place Place, url string) (pillarbox.DeadLetters, error) {
	rest, open, err := lookup("dead_letters.url", url, deadLetters)
	if err != nil {
		return nil, err
	}
	return open(place, rest)
}

// checks look at what stands behind a scheme, where that can be wrong, without opening anything.
// key is that of the configuration.
var checks = map[string]func(key, rest string) error{
	"sqlite":      func(key, rest string) error { _, err := parseSQLite(key, rest); return err },
	"sqs":         func(key, rest string) error { _, err := parseSQS(key, rest); return err },
	"dynamodb":    func(key, rest string) error { _, err := parseDynamoDB(key, rest); return err },
	"s3":          func(key, rest string) error { _, err := parseLetters(key, rest); return err },
	"postgres":    func(key, rest string) error { _, err := parsePostgres(key, rest); return err },
	"https":       checkWebhook("https"),
	"http":        checkWebhook("http"),
	"parquet":     func(key, rest string) error { _, err := parseParquet(key, rest); return err },
	parquetBucket: func(key, rest string) error { _, err := parseParquetBucket(key, rest); return err },
	"nats":        checkBroker("nats"),
	"kafka":       checkBroker("kafka"),
}

// CheckQueue, CheckSink and CheckDeadLetters report whether an engine for the URL exists, and can
// read it, without opening it.
func CheckQueue(url string) error { return check("queue.url", url, queues) }

// keepsHistory are the schemes of queues that can keep what was delivered.
var keepsHistory = map[string]bool{"seglog": true}

// CheckHistory reports whether the queue of the URL can keep so many bytes of what was delivered.
func CheckHistory(url string, keepBytes int64) error {
	scheme, _, _ := strings.Cut(url, ":")
	if keepBytes <= 0 || KeepsHistory(url) {
		return nil
	}
	return pillarbox.Invalid("queue.keep_bytes: a queue of %s: keeps nothing of what was delivered; leave the key out, or set it to 0",
		scheme)
}

// KeepsHistory reports whether the queue of the URL has anything of what was delivered.
func KeepsHistory(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return keepsHistory[scheme]
}

// keepsKeys are the schemes of queues that keep idempotency keys.
var keepsKeys = map[string]bool{"seglog": true}

// CheckKeys reports whether idempotency keys, which a key of the configuration is about, are kept: by
// the queue of the URL, or elsewhere.
func CheckKeys(queueURL, keysURL, key string) error {
	scheme, _, _ := strings.Cut(queueURL, ":")
	if keepsKeys[scheme] || keysURL != "" {
		return nil
	}
	return pillarbox.Invalid("%s: a queue of %s: keeps no idempotency keys, so that this has no effect; leave the key out, or set idempotency.url",
		key, scheme)
}

// keyStores opens each kind of store of idempotency keys.
var keyStores = map[string]func(rest string, window time.Duration) (KeyStore, error){
	"dynamodb": openKeys,
}

// KeyStore is a store of idempotency keys beside a queue that keeps none.
type KeyStore interface {
	pillarbox.Keys
	SetWindow(window time.Duration)
	Check(ctx context.Context) error
	Close() error
}

// keysKey is the key of the URL.
const keysKey = "idempotency.url"

// CheckKeyStore reports whether keys can be kept at the URL beside that queue; an empty one is none.
func CheckKeyStore(queueURL, url string) error {
	scheme, _, _ := strings.Cut(queueURL, ":")
	switch {
	case url == "":
		return nil
	case keepsKeys[scheme]:
		return pillarbox.Invalid("%s: a queue of %s: keeps idempotency keys itself, together with their events; leave the key out", keysKey, scheme)
	}
	rest, _, err := lookup(keysKey, url, keyStores)
	if err == nil {
		_, err = parseKeys(rest)
	}
	return err
}

// OpenKeyStore opens the store of the URL.
func OpenKeyStore(url string, window time.Duration) (KeyStore, error) {
	rest, open, err := lookup(keysKey, url, keyStores)
	if err != nil {
		return nil, err
	}
	return open(rest, window)
}

// feedsOne are the schemes of queues that feed one destination.
var feedsOne = map[string]bool{"sqs": true}

// CheckDestinations reports whether the queue of the URL can feed all destinations of these names.
func CheckDestinations(url string, names []string) error {
	scheme, _, _ := strings.Cut(url, ":")
	if len(names) < 2 || !feedsOne[scheme] {
		return nil
	}
	names = slices.Sorted(slices.Values(names))
	return pillarbox.Invalid("%s: a queue of %s: feeds one destination, which is %s, and not %s as well; leave one, or set queue.url to seglog:",
		sinkKey(names[1]), scheme, names[0], names[1])
}

// maxBodies are what engines take at most of an event, in bytes, where there is no place for large
// bodies. The others take what any source takes.
var maxBodies = map[string]int64{"sqs": sqs.MaxMessageBytes, "dynamodb": dynamodb.MaxItemBytes}

// MaxBody returns how many bytes a body can have that the engine of the URL takes without a place
// for large bodies; 0 is no limit. An event whose body is about so large may be refused all the
// same, for what comes with it.
func MaxBody(url string) int64 {
	scheme, _, _ := strings.Cut(url, ":")
	return maxBodies[scheme]
}

// keepsCanaries are the schemes of stores that can be read back, and not removed from.
var keepsCanaries = map[string]bool{"parquet": true, "parquet+s3": true}

// CheckCanary reports whether the destination of the URL may be sent events of the canary that stay
// there: in a store, they would be among users' data for ever.
func CheckCanary(name, url string) error {
	scheme, _, _ := strings.Cut(url, ":")
	if !keepsCanaries[scheme] {
		return nil
	}
	return pillarbox.Invalid("destinations.%s.canary: events of the canary can't be removed from %s:, and would stay among the others; leave the key out, or set it to false", name, scheme)
}

// returnsCanaries are the schemes of stores from which events of the canary come back.
var returnsCanaries = map[string]bool{"sqlite": true, "postgres": true, "dynamodb": true}

// ReturnsCanaries reports whether events of the canary come back from the destination of the URL, so that
// they are sent there without being asked for.
func ReturnsCanaries(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return returnsCanaries[scheme]
}

// FixesMaxAge reports whether the queue of the URL, once it is open, goes on with the age that it
// was opened with, after which events become dead letters.
func FixesMaxAge(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return scheme == "sqs"
}

// CheckSink is CheckQueue for a destination.
func CheckSink(name, url string) error { return check(sinkKey(name), url, sinks) }

// CheckSinks is CheckSink for all destinations, by name. No two may be written as one and the same
// place: each would find the events of the other in its store. Webhooks may: what they post to is not
// read back.
func CheckSinks(urls map[string]string) error {
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		if err := CheckSink(name, urls[name]); err != nil {
			return err
		}
		if isWebhook(urls[name]) {
			continue
		}
		place := urls[name]
		switch scheme, rest, _ := strings.Cut(place, ":"); scheme {
		case "sqlite":
			place = scheme + ":" + sqlitePath(name, rest)
		case "dynamodb":
			place, _, _ = strings.Cut(place, "?")
		case "parquet", parquetBucket:
			dir := parquetPath(name, rest)
			if scheme == parquetBucket {
				at, err := parseParquetBucket(sinkKey(name), rest)
				if err != nil {
					return err
				}
				dir = at.place()
			}
			place = scheme + ":" + dir
			if owner, is := nested(scheme, dir, owners); is {
				return pillarbox.Invalid("%s: the directory of destination %s is in it, or the other way around; give each a directory beside the other",
					sinkKey(name), owner)
			}
		}
		if owner, taken := owners[place]; taken {
			return pillarbox.Invalid("%s: destination %s is at %s as well; give each its own", sinkKey(name),
				owner, place)
		}
		owners[place] = name
	}
	return nil
}

// CheckDeadLetters is CheckQueue for dead letters.
func CheckDeadLetters(url string) error { return check("dead_letters.url", url, deadLetters) }

func sinkKey(name string) string { return "destinations." + name + ".url" }

func check[T any](key, url string, table map[string]T) error {
	rest, _, err := lookup(key, url, table)
	if err != nil {
		return err
	}
	scheme, _, _ := strings.Cut(url, ":")
	if check := checks[scheme]; check != nil {
		return check(key, rest)
	}
	return nil
}

func lookup[T any](key, url string, table map[string]T) (rest string, open T, err error) {
	scheme, rest, found := strings.Cut(url, ":")
	open, known := table[scheme]
	if !found || !known {
		possible := slices.Sorted(maps.Keys(table))
		return "", open, pillarbox.Invalid("%s: %q names no engine of this build; possible here: %s", key,
			url, strings.Join(possible, ":, ")+":")
	}
	return rest, open, nil
}

func openSeglog(place Place, rest string, options QueueOptions) (pillarbox.Queue, error) {
	dir := rest
	if dir == "" {
		dir = QueueDir
	}
	if !filepath.IsLocal(dir) {
		return nil, pillarbox.Invalid("queue.url: the embedded log lies below the data directory, and %q does not", dir)
	}
	return opened[pillarbox.Queue](seglog.Open(place.Data, filepath.ToSlash(dir), seglog.Options{
		MaxBytes: options.MaxBytes, KeepBytes: options.KeepBytes, MinFreeBytes: options.MinFreeBytes, SegmentBytes: options.SegmentBytes,
		Meter: options.Meter, Elapsed: options.Elapsed, MaxRetryWait: options.MaxRetryWait, CommitTimeout: options.CommitTimeout, Logger: place.Logger, ReadOnly: place.ReadOnly, AtRest: place.AtRest,
	}))
}

// opened turns an engine into its role. After an error the role is nil, and not a role that holds a
// nil engine.
func opened[Role any, Engine any](engine Engine, err error) (role Role, _ error) {
	if err != nil {
		return role, err
	}
	return any(engine).(Role), nil
}

func openSQLite(ctx context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	if _, err := parseSQLite(sinkKey(name), rest); err != nil {
		return nil, err
	}
	path := sqlitePath(name, rest)
	if !filepath.IsAbs(path) {
		path = filepath.Join(place.Data.Dir(), path)
	}
	return opened[pillarbox.Sink](sqlite.Open(ctx, path, sqlite.Options{Logger: place.Logger}))
}

// parseSQLite returns the path, which is empty for a file of the destination's name. What SQLite
// itself takes beside paths has no meaning here: a database in memory, options and hosts would lose
// events, or be names of files.
func parseSQLite(key, rest string) (path string, err error) {
	mistake := ""
	first, _, _ := strings.Cut(filepath.ToSlash(filepath.Clean(rest)), "/")
	switch {
	case strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, "file:"):
		mistake = "has a host or a scheme"
	case strings.ContainsAny(rest, "?#"):
		mistake = "has options"
	case strings.HasPrefix(rest, ":"):
		mistake = "is no file"
	case rest != "" && !filepath.IsAbs(rest) && !filepath.IsLocal(rest):
		mistake = "is outside of the data directory; write the whole path, from / on"
	case first == QueueDir || first == LettersDir || first == LockFile:
		mistake = "is a name that pillarbox uses itself"
	}
	if mistake != "" {
		return "", pillarbox.Invalid("%s: want sqlite: or sqlite:PATH, and %q %s", key, rest, mistake)
	}
	return rest, nil
}

// sqlitePath is relative to the data directory, if it is not absolute.
func sqlitePath(name, rest string) string {
	if rest == "" {
		return name + ".db"
	}
	return filepath.Clean(rest)
}

func openFiles(place Place, rest string) (pillarbox.DeadLetters, error) {
	dir := rest
	if dir == "" {
		dir = LettersDir
	}
	if filepath.IsLocal(dir) {
		return opened[pillarbox.DeadLetters](
			files.Open(place.Data, filepath.ToSlash(dir), files.Options{Logger: place.Logger, AtRest: place.AtRest}))
	}
	if !filepath.IsAbs(dir) {
		return nil, pillarbox.Invalid("dead_letters.url: %q leads out of the data directory; use an absolute path for another place", dir)
	}
	elsewhere, err := vfs.OpenDisk(dir)
	if err != nil {
		return nil, fmt.Errorf("dead_letters.url: %w", err)
	}
	letters, err := files.Open(elsewhere, ".", files.Options{Logger: place.Logger, AtRest: place.AtRest})
	if err != nil {
		return nil, fmt.Errorf("dead_letters.url: %w", err)
	}
	return &elsewhereLetters{DeadLetters: letters, disk: elsewhere}, nil
}

// elsewhereLetters closes the directory that was opened for them.
type elsewhereLetters struct {
	pillarbox.DeadLetters
	disk *vfs.Disk
}

func (l *elsewhereLetters) Close() error {
	err := l.DeadLetters.Close()
	if closeErr := l.disk.Close(); err == nil {
		err = closeErr
	}
	return err
}
