package catalog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/vfs"
)

func open(t *testing.T) catalog.Place {
	t.Helper()
	disk, err := vfs.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	return catalog.Place{Data: disk}
}

func TestEnginesOpenByTheirURL(t *testing.T) {
	place := open(t)
	queue, err := catalog.OpenQueue(place, "seglog:", catalog.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := catalog.OpenSink(context.Background(), place, "events", "sqlite:")
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Write(context.Background(),
		[]*pillarbox.Event{{Timestamp: 1, RequestID: "x"}}); err != nil {
		t.Error(err)
	}
	letters, err := catalog.OpenDeadLetters(place, "files:letters")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(letters.Close(), sink.Close(), queue.Close()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"queue", "events.db", "letters"} {
		if _, err := os.Stat(filepath.Join(place.Data.Dir(), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownEnginesAreNamedWithWhatIsPossible(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://host": "queue.url", "seglog": "seglog:", "": "possible here", "seglog:../outside": "below the data directory",
	} {
		_, err := catalog.OpenQueue(open(t), url, catalog.QueueOptions{})
		if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want ErrInvalid with %q", url, err, want)
		}
	}
	if err := catalog.CheckSink("events", "oracle:x"); !errors.Is(err, pillarbox.ErrInvalid) ||
		!strings.Contains(err.Error(), "destinations.events.url") {
		t.Errorf("unknown destination: %v", err)
	}
	if _, err := catalog.OpenDeadLetters(open(t), "files:../outside"); !errors.Is(err,
		pillarbox.ErrInvalid) {
		t.Errorf("dead letters outside by a relative path: %v", err)
	}
}

// TestEngineThatCantBeOpenedIsNil: a nil engine in a role would not be nil, and closing it would
// crash.
func TestEngineThatCantBeOpenedIsNil(t *testing.T) {
	place := open(t)
	for _, name := range []string{"queue", "dead-letters"} {
		if err := os.WriteFile(filepath.Join(place.Data.Dir(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if queue, err := catalog.OpenQueue(place, "seglog:", catalog.QueueOptions{}); err == nil ||
		queue != nil {
		t.Errorf("queue %v, %v", queue, err)
	}
	if letters, err := catalog.OpenDeadLetters(place, "files:"); err == nil || letters != nil {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}

// TestMistakesInURLsAreFoundWithoutOpening: by a command that only checks, in the words of the
// configuration.
func TestMistakesInURLsAreFoundWithoutOpening(t *testing.T) {
	sink := func(url string) error { return catalog.CheckSink("events", url) }
	for _, test := range []struct {
		check func(string) error
		url   string
		want  string // empty: it is right
	}{
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/123456789012/events", ""},
		{catalog.CheckQueue, "sqs:http://127.0.0.1:9324/000000000000/events?region=us-east-1", ""},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/events", "queue.url: want sqs://"},
		{catalog.CheckQueue, "sqs:", "queue.url"},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?regoin=x", `no parameter "regoin"; possible are region, linger`},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=20ms", ""},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=0", ""},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=5", `queue.url: the parameter linger is "5"; want a time of at most 1s`},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=2s", `the parameter linger is "2s"`},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=-5ms", `the parameter linger is "-5ms"`},
		{catalog.CheckQueue, "sqs://sqs.eu-west-2.amazonaws.com/1/events?linger=", `the parameter linger is ""`},
		{sink, "dynamodb://eu-west-2/events?index=TimeIndex&shards=16", ""},
		{sink, "dynamodb://eu-west-2", "destinations.events.url: want dynamodb://REGION/TABLE"},
		{sink, "dynamodb://eu-west-2/events?shards=none", `the parameter shards is "none"`},
		{sink, "dynamodb://eu-west-2/events?indx=a", "possible are index, shards"},
		{sink, "sqlite:", ""},
		{sink, "sqlite:sub/events.sqlite", ""},
		{sink, "sqlite:/var/lib/events.db", ""},
		{sink, "sqlite://host/x.db", "destinations.events.url: want sqlite: or sqlite:PATH"},
		{sink, "sqlite:x.db?mode=ro", "has options"},
		{sink, "sqlite::memory:", "is no file"},
		{sink, "sqlite:../x.db", "outside of the data directory"},
		{sink, "sqlite:LOCK", "pillarbox uses itself"},
		{sink, "sqlite:./queue/x.db", "pillarbox uses itself"},
		{sink, "parquet:", ""},
		{sink, "parquet:sub/events", ""},
		{sink, "parquet:/var/lib/events", ""},
		{sink, "parquet://host/x", "destinations.events.url: want parquet: or parquet:DIRECTORY"},
		{sink, "parquet:x?partition=day", "has options"},
		{sink, "parquet:../x", "outside of the data directory"},
		{sink, "parquet:./", "is the data directory itself"},
		{sink, "parquet:queue/x", "pillarbox uses itself"},
		{sink, "parquet+s3://bucket/events?region=eu-west-2&path_style=true&kms_key=arn:aws:kms:eu-west-2:1:key/x", ""},
		{sink, "parquet+s3://bucket/a/b", ""},
		{sink, "parquet+s3:bucket/a", "destinations.events.url"},
		{sink, "parquet+s3://bucket", "names no prefix"},
		{sink, "parquet+s3://bucket/a*", "for a pattern"},
		{sink, "parquet+s3://bucket/a//b", "for a pattern"},
		{sink, "parquet+s3://bucket/a?path_style=yes", "is true or false"},
		{sink, "parquet+s3://bucket/a?partition=day", `no parameter "partition"; possible are region, path_style, kms_key`},
		{catalog.CheckDeadLetters, "s3://bucket/dead-letters?kms_key=arn:aws:kms:eu-west-2:1:key/x", ""},
		{catalog.CheckDeadLetters, "s3:bucket", "dead_letters.url"},
		{catalog.CheckBodies, "", ""},
		{catalog.CheckBodies, "s3://bucket/bodies?path_style=true", ""},
		{catalog.CheckBodies, "files:bodies", "bodies.url"},
	} {
		err := test.check(test.url)
		if test.want == "" && err != nil {
			t.Errorf("%s: %v", test.url, err)
		}
		if test.want != "" && (!errors.Is(err, pillarbox.ErrInvalid) ||
			!strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want ErrInvalid with %q", test.url, err, test.want)
		}
	}
}

// TestDestinationsAreDistinct, however their places are written.
func TestDestinationsAreDistinct(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want string // empty: it is right
	}{
		{"sqlite:", "sqlite:", ""},
		{"sqlite:", "sqlite:./a.db", "destinations.b.url: destination a is at sqlite:a.db as well"},
		{"parquet:", "parquet:", ""},
		{"parquet:", "parquet:./a/", "destinations.b.url: destination a is at parquet:a as well"},
		{"parquet:x/y", "parquet:x", "destinations.b.url: the directory of destination a is in it"},
		{"parquet+s3://b/x", "parquet+s3://b/x/?region=a", "destinations.b.url: destination a is at parquet+s3://b/x as well"},
		{"parquet+s3://b/x/y", "parquet+s3://b/x", "destinations.b.url: the directory of destination a is in it"},
		{"parquet+s3://b/x", "parquet+s3://b/xy", ""},
		{"parquet+s3://b/x", "parquet+s3://c/x/y", ""},
		{"parquet:x", "parquet:x/y", "destinations.b.url: the directory of destination a is in it"},
		{"dynamodb://eu-west-2/events", "dynamodb://eu-west-2/events?shards=4", "destinations.b.url"},
		{"dynamodb://eu-west-2/events", "dynamodb://eu-west-1/events", ""},
		{"sqlite:", "oracle:", "destinations.b.url"},
	} {
		err := catalog.CheckSinks(map[string]string{"a": test.a, "b": test.b})
		if (test.want == "") != (err == nil) || err != nil &&
			(!errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s and %s: %v, want %q", test.a, test.b, err, test.want)
		}
	}
}

// TestEnginesOnAWSOpenWithoutARequest: they are open before anything can be reached.
func TestEnginesOnAWSOpenWithoutARequest(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
		"AWS_REGION": "eu-west-2", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"} {
		t.Setenv(name, value)
	}
	place := catalog.Place{BodiesURL: "s3://bucket/bodies"}
	queue, err := catalog.OpenQueue(place, "sqs://sqs.eu-west-2.amazonaws.com/123456789012/events",
		catalog.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := catalog.OpenSink(context.Background(), place, "events",
		"dynamodb://eu-west-2/events?index=TimeIndex")
	if err != nil {
		t.Fatal(err)
	}
	letters, err := catalog.OpenDeadLetters(place, "s3://bucket/dead-letters")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(letters.Close(), sink.Close(), queue.Close()); err != nil {
		t.Error(err)
	}
}

// TestPlacesOfSharedAPIKeys are objects of a bucket.
func TestPlacesOfSharedAPIKeys(t *testing.T) {
	for url, want := range map[string]string{
		"": "", "s3://bucket/api-keys.json": "", "s3://bucket/a/b.json?region=eu-west-2&path_style=true": "",
		"files:keys": "possible here: s3", "s3://bucket": "want s3://BUCKET/OBJECT", "s3:": "api_keys.url",
		"s3://bucket/k?kms_key=x": "no parameter",
	} {
		err := catalog.CheckAPIKeys(url)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
