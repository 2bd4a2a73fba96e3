package source

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pillarbox"
)

func canaryTable(t *testing.T, key *CanaryKey, paths ...string) *Table {
	t.Helper()
	var settings []Settings
	for i, path := range paths {
		settings = append(settings, Settings{Name: string(rune('a' + i)), Path: path})
	}
	table, err := Compile(settings, Options{Canary: key})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Only who has the key opens the canary's door, with each signature once, and only now.
func TestTheCanarysDoorOpensToItsKeyAlone(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	key := NewCanaryKey("a secret that nodes share", clock)
	table := canaryTable(t, key, "/app")
	signed := key.Sign()
	for what, forged := range map[string]string{
		"nothing": "", "a mark": "1", "another key": NewCanaryKey("", clock).Sign(), "cut": signed[:len(signed)-1],
		"another time": strings.Replace(signed, "14:12:00", "14:12:01", 1), "no time": "x." + key.mac("x"), "only dots": "..",
		"mac of nothing": "." + key.mac(""),
	} {
		if table.Canary(forged) != nil {
			t.Errorf("%s opens: %q", what, forged)
		}
	}
	route := table.Canary(signed)
	if route == nil || !route.Source.Settings.isCanary() || route.Batch {
		t.Fatalf("its own signature leads to %+v", route)
	}
	if table.Canary(signed) != nil {
		t.Error("a signature opens twice")
	}
	other := NewCanaryKey("a secret that nodes share", clock)
	if canaryTable(t, other).Canary(key.Sign()) == nil {
		t.Error("another node with the same secret does not open")
	}
	early := key.Sign()
	now = now.Add(canaryTolerance + time.Second)
	if table.Canary(early) != nil {
		t.Error("an old signature opens")
	}
	if len(key.seen) > 1 {
		t.Errorf("%d signatures are remembered that have ended", len(key.seen))
	}
	if canaryTable(t, nil).Canary(key.Sign()) != nil {
		t.Error("it opens where there is no canary")
	}
}

func (s Settings) isCanary() bool { return s.Name == pillarbox.CanarySource }

// The way in of the canary is in no list, and nobody's source can take its place.
func TestTheCanarysSourceIsNobodys(t *testing.T) {
	table := canaryTable(t, NewCanaryKey("", nil), "/app", "/{any}")
	for _, route := range table.Routes() {
		if route.Source.Name == pillarbox.CanarySource {
			t.Error("it is listed")
		}
	}
	if table.Get(pillarbox.CanarySource) != nil || len(table.All()) != 2 {
		t.Error("it is found by its name")
	}
	if route := table.Route(CanaryPath, CanaryPath); route == nil || route.Source.Name != "b" {
		t.Errorf(
			"its path without a signature leads to %+v, and not to the source that takes all",
			route,
		)
	}
	for _, s := range []Settings{{Name: pillarbox.CanarySource, Path: "/x"}, {Name: "x", Path: CanaryPath}, {Name: "x", Path: CanaryPath + "/"}} {
		if _, err := Compile([]Settings{s}, Options{}); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// Of its requests, the signature is not kept, and the mark is.
func TestTheCanarysSignatureIsNotKept(t *testing.T) {
	key := NewCanaryKey("", nil)
	route := canaryTable(t, key).Canary(key.Sign())
	kept := route.Source.Keep(
		nil,
		pillarbox.Header{
			{Name: CanarySignature, Value: "s"},
			{Name: pillarbox.CanaryHeader, Value: "1"},
			{
				Name:  "Content-Type",
				Value: "application/json",
			},
			{Name: "User-Agent", Value: "x"},
		},
		new(Removed),
	)
	if len(kept) != 2 || kept[0].Name != pillarbox.CanaryHeader {
		t.Errorf("kept %+v", kept)
	}
	if _, _, err := route.Source.AdmitOne(&Head{Method: "POST", Path: CanaryPath}, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := route.Source.CheckBody(CanaryMaxBody + 1); !errors.Is(err, pillarbox.ErrTooLarge) {
		t.Error(err)
	}
}
