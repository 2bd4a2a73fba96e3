package seglog

// This file is in the package itself: the encoders are not exported, and their bytes are what is
// tested.

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The values of docs/FORMAT.md's examples.
const (
	goldenSalt   = uint64(0x50_33_94_8a_45_87_bf_d1)
	goldenOffset = int64(1536)
)

func goldenHeader() segmentHeader {
	return segmentHeader{
		id: 42, salt: goldenSalt, firstSeq: 1001, created: 1795443120_000000, prevID: 41, prevEnd: 7680,
		logID: [16]byte{
			0x82, 0x59, 0x7b, 0xaf, 0xb4, 0x7e, 0x2c, 0xa2, 0x98, 0xa1, 0x54, 0x2c, 0xaa, 0x6e,
			0xfc, 0x9a,
		},
	}
}

// goldenEvents have something in every field, a request id of each form, and a body that is no
// text.
func goldenEvents() []*pillarbox.Event {
	return []*pillarbox.Event{
		{
			Timestamp: 1795443120_123456, RequestID: "019ab123-4567-7abc-8def-0123456789ab", Source: "app", Method: "POST",
			Path: "/app", Query: "a=1&b=2", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Header: pillarbox.Header{
				{Name: "Content-Type", Value: "application/json"}, {Name: "X-Empty"},
				{Name: "X-Tag", Value: "a"}, {Name: "X-Tag", Value: "b"},
			},
			Body: []byte(`{"hello":"wörld"}`),
		},
		{
			Timestamp: 1795443120_123457,
			RequestID: "019AB123-4567-7ABC-8DEF-0123456789AB",
			Body:      []byte{0, 0xff},
		},
		{Timestamp: -1, RequestID: "r-2", Source: "app", Body: bytes.Repeat([]byte("x"), 200)},
	}
}

func goldenGroup() *group {
	g := newGroup(nil)
	for _, event := range goldenEvents() {
		if err := g.add(event, nil); err != nil {
			panic(err)
		}
	}
	return g
}

func goldenState() *stateFrame {
	return &stateFrame{
		Start: 1, Cursor: 1003, Segment: 42, Offset: goldenOffset,
		Counters: counters{Stored: 990, Dead: 7, Skipped: 3, Damaged: 1},
		Retry: []*retryEntry{{
			Seq: 1002, Record: appendRecord(nil, goldenEvents()[1]), Due: 1795443122_000000,
			Attempts: []pillarbox.Attempt{
				{At: 1795443120_200000, Class: pillarbox.ClassPermanent, Error: "no"},
			},
			Rejection: &pillarbox.Rejection{Reason: "refused for good: no", DeadAt: 1795443120_200000},
		}},
		Done: []uint64{998, 1000},
	}
}

// TestFormatIsGolden holds every encoder to the bytes that are on disks already. If it fails, the
// format has changed: docs/FORMAT.md says what a new version needs.
func TestFormatIsGolden(t *testing.T) {
	golden(t, "header", goldenHeader().encode())
	golden(t, "frame", goldenGroup().seal(goldenSalt, goldenOffset, 1024, 1001))
	var records []byte
	for _, event := range goldenEvents() {
		records = appendRecord(records, event)
	}
	golden(t, "records", records)
	state, err := encodeStateFrame(
		frameHeader{kind: frameDelta, salt: goldenSalt, offset: 512, firstSeq: 9, durableUpTo: 512},
		goldenState(), nil,
	)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "state", state)
	golden(t, "mark", encodeBare(frameHeader{
		kind: frameMark, salt: goldenSalt, offset: 2560, firstSeq: 1004, durableUpTo: 2560,
	}))
	golden(t, "lost", encodeBare(frameHeader{
		kind: frameLost, salt: goldenSalt, offset: 2560, firstSeq: 1004, count: 5,
		durableUpTo: 2048,
	}))
}

func encodeBare(header frameHeader) []byte {
	b := make([]byte, frameHeaderBytes)
	header.encode(b)
	return b
}

// TestOldBytesCanBeRead decodes what the golden files hold, not what the encoders write today.
func TestOldBytesCanBeRead(t *testing.T) {
	header, reason := decodeSegmentHeader(readGolden(t, "header"))
	if reason != "" || header != goldenHeader() {
		t.Errorf("header %+v, %s", header, reason)
	}
	frame := readGolden(t, "frame")
	w := &walker{name: "golden", salt: goldenSalt, limit: goldenOffset + alignUp(int64(len(frame)))}
	w.buffer = append(frame, make([]byte, alignUp(int64(len(frame)))-int64(len(frame)))...)
	w.bufferStart = goldenOffset
	w.offset, w.seq = goldenOffset, 1001
	c, err := w.next()
	if err != nil || c.firstSeq != 1001 || len(c.records) != len(goldenEvents()) ||
		len(c.damage) != 0 {
		t.Fatalf("chunk %+v, %v", c, err)
	}
	for i, want := range goldenEvents() {
		event, err := decodeRecord(c.records[i].text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := enginetest.Diff(event, want); diff != "" {
			t.Errorf("event %d: %s", i, diff)
		}
	}
	found, state, err := stateFrameAt(append(make([]byte, 512), readGolden(t, "state")...), 512,
		goldenSalt, nil)
	if err != nil || state == nil || found.firstSeq != 9 ||
		fmt.Sprint(state.Retry[0].Rejection, state.Done, state.Counters) !=
			fmt.Sprint(goldenState().Retry[0].Rejection, goldenState().Done, goldenState().Counters) {
		t.Errorf("state %+v %+v", found, state)
	}
}

// TestUnknownIsRefused holds readers to what docs/FORMAT.md says about bytes of a later version.
func TestUnknownIsRefused(t *testing.T) {
	header := goldenHeader().encode()
	header[8] = boxedVersion + 1
	binary.LittleEndian.PutUint32(header[headerBytes-4:], checksum(header[:headerBytes-4]))
	if _, reason := decodeSegmentHeader(header); reason != reasonVersion {
		t.Errorf("segment of another version: %q", reason)
	}
	for name, change := range map[string]int{"kind": 4, "version": 5, "low flag": 6, "high flag": 7} {
		frame := encodeBare(frameHeader{kind: frameDelta, salt: goldenSalt, offset: 512})
		if frame[change]++; name == "version" {
			frame[change] = boxedVersion + 1
		}
		binary.LittleEndian.PutUint32(frame[60:], checksum(frame[:60]))
		if _, ok := decodeFrameHeader(frame, goldenSalt, 512); ok {
			t.Errorf("frame with another %s is taken", name)
		}
	}
	record := appendRecord(nil, goldenEvents()[1])
	if event, err := decodeRecord(string(append(record, 200, 3, 'n', 'e', 'w'))); err != nil ||
		event.RequestID != goldenEvents()[1].RequestID {
		t.Errorf("record with a field that may be skipped: %v", err)
	}
	if _, err := decodeRecord(string(append(record, 13, 3, 'n', 'e', 'w'))); err == nil {
		t.Error("record with an unknown field that may not be skipped is taken")
	}
}

// TestFactsAreInTheRecord, in fields that an older reader skips; where nothing is known, the record
// is what it was before there were any.
func TestFactsAreInTheRecord(t *testing.T) {
	plain := goldenEvents()[1]
	known := enginetest.Clone(plain)
	known.Facts = &pillarbox.Facts{Caller: "shop", CEID: "1", CESource: "/s", CEType: "t", CETime: "2026-11-23T14:12:00Z",
		CESubject: "x", Removed: "header Cookie", Attributes: pillarbox.Attributes{{Name: "a", Value: ""}, {Name: "tenant", Value: "acme"}}}
	before, record := appendRecord(nil, plain), appendRecord(nil, known)
	want := "\x81\x04shop\x82\x011\x83\x02/s\x84\x01t\x85\x142026-11-23T14:12:00Z\x86\x01x\x87\x0dheader Cookie\x88\x02\x01a\x88\x0b\x06tenantacme"
	if got, found := strings.CutPrefix(string(record), string(before)); !found || got != want {
		t.Errorf("the record ends with %q, want %q", got, want)
	}
	if int64(len(record)) > recordSizeBound(known) {
		t.Error("the record is larger than its bound")
	}
	event, err := decodeRecord(string(record))
	if err != nil || enginetest.Diff(event, known) != "" {
		t.Errorf("%s, %v", enginetest.Diff(event, known), err)
	}
	if event, err = decodeRecord(string(before)); err != nil || event.Facts != nil {
		t.Errorf("a record without facts has %+v, %v", event.Facts, err)
	}
	if _, err := decodeRecord(string(before) + "\x88\x02\x05a"); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("an attribute whose name is cut short: %v", err)
	}
}

// golden compares with testdata/NAME.golden: rows of 16 bytes in hex behind their offset.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var text strings.Builder
	for at := 0; at < len(got); at += 16 {
		fmt.Fprintf(&text, "%06x  % x\n", at, got[at:min(at+16, len(got))])
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := readGolden(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s", name, text.String())
	}
}

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	for line := range strings.Lines(string(text)) {
		_, digits, _ := strings.Cut(strings.TrimSpace(line), "  ")
		row, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%s.golden: %v", name, err)
		}
		content = append(content, row...)
	}
	return content
}
