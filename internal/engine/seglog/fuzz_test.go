package seglog

// This file is in the package itself: records have no exported decoder.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// FuzzRecordDecode decodes anything. What it understands, it writes again so that it reads the
// same, within the bound that Append relies on.
func FuzzRecordDecode(f *testing.F) {
	for _, event := range goldenEvents() {
		f.Add(appendRecord(nil, event))
	}
	f.Add(append([]byte{tagRequestID, 36}, "00000000-0000-0000-0000-00-000000000"...))
	f.Add([]byte{})
	f.Add([]byte{tagBody})
	f.Add([]byte{tagRequestID, 1, 'r', tagHeader, 2, 9, 'n'})
	f.Add([]byte{
		tagRequestID, 1, 'r', 200, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		event, err := decodeRecord(string(text))
		if err != nil {
			if !errors.Is(err, pillarbox.ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		written := appendRecord(nil, event)
		size := int64(recordHeaderBytes + len(written) + lengthBytes)
		if size > recordSizeBound(event) {
			t.Errorf("record of %d bytes is over its bound of %d", size, recordSizeBound(event))
		}
		again, err := decodeRecord(string(written))
		if err != nil {
			t.Fatalf("its own writing: %v", err)
		}
		if len(event.Body) == 0 {
			event.Body = nil // an empty body is not written
		}
		if !reflect.DeepEqual(event, again) {
			t.Errorf("read %+v, then %+v", event, again)
		}
	})
}

const maxFuzzSeq = 1 << 48

const fuzzSegment = "queue/0000000000000001.seg"

// FuzzSegmentRecover takes anything for the only segment of a log: looking, verifying, opening,
// delivering and repairing neither panic nor read without end, and what is read is what a
// verification says can be read.
func FuzzSegmentRecover(f *testing.F) {
	sound := soundSegment(f)
	f.Add(false, sound)
	f.Add(false, sound[:1500])
	f.Add(false, []byte{})
	f.Add(false, make([]byte, 4096))
	f.Add(true, append(append([]byte{}, sound[:dataStart]...), sound[dataStart+sectorBytes:]...))
	for _, at := range []int{dataStart + 16, dataStart + 24, dataStart + 32, dataStart + 36,
		dataStart + 40, dataStart + 70} {
		changed := bytes.Clone(sound)
		changed[at]++
		f.Add(true, changed)
	}
	f.Fuzz(func(t *testing.T, sealed bool, content []byte) {
		if len(content) > 64<<10 {
			return
		}
		content = bytes.Clone(content)
		if sealed {
			sealAll(content)
		}
		disk := faultfs.New(faultfs.Options{})
		if err := errors.Join(disk.Mkdir("queue"),
			vfs.WriteFile(disk, fuzzSegment, content)); err != nil {
			t.Fatal(err)
		}
		recoverSegment(t, disk, len(content))
	})
}

func recoverSegment(t *testing.T, disk *faultfs.FS, size int) {
	before := disk.Operations()
	result, err := Verify(context.Background(), disk, nil, "queue", nil)
	if errors.Is(err, pillarbox.ErrInvalid) {
		return // a later version is refused
	}
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	// Every read is of a window of readAhead bytes, or of a frame that is there: some for each
	// sector at most.
	if operations, most := disk.Operations()-before, 100+8*size/sectorBytes; operations > most {
		t.Errorf("%d operations for %d bytes, at most %d are expected", operations, size, most)
	}
	if result.Events > uint64(size/(recordHeaderBytes+1)) {
		t.Errorf("%d events in %d bytes", result.Events, size)
	}
	if _, err := Inspect(disk, nil, "queue"); err != nil {
		t.Fatalf("inspect: %v", err)
	}
	options := Options{SegmentBytes: MinSegmentBytes, KeepBytes: -1, MinFreeBytes: 1}
	options.ReadOnly = true
	deliverAll(t, disk.Crash(nil, faultfs.Kept), options)
	options.ReadOnly = false
	deliverAll(t, disk.Crash(nil, faultfs.Kept), options)
	if _, err := Repair(context.Background(), disk, nil, "queue"); err != nil {
		t.Fatalf("repair: %v", err)
	}
	after, err := Verify(context.Background(), disk, nil, "queue", nil)
	if err != nil {
		t.Fatalf("verify after the repair: %v", err)
	}
	// A repair may save more: it gives a file that was cut short its last sector back.
	if after.Events < result.Events {
		t.Errorf("%d events before the repair, %d after it: %+v, %+v", result.Events, after.Events,
			result, after)
	}
}

// deliverAll opens the log and leases and stores all it has.
func deliverAll(t *testing.T, disk *faultfs.FS, options Options) {
	log, err := Open(disk, "queue", options)
	if errors.Is(err, pillarbox.ErrInvalid) {
		return
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	for {
		deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 1000})
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pillarbox.ErrCorrupt) ||
			options.ReadOnly {
			break
		}
		if err != nil {
			t.Fatalf("lease: %v", err)
		}
		outcomes := make([]pillarbox.Outcome, len(deliveries))
		for i, delivery := range deliveries {
			outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
		}
		if err := log.Settle(context.Background(), "events", outcomes); err != nil {
			t.Fatalf("settle: %v", err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// soundSegment is the segment of a log with two commits and a clean end.
func soundSegment(f *testing.F) []byte {
	f.Helper()
	disk := faultfs.New(faultfs.Options{})
	log, err := Open(disk, "queue", Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1})
	if err != nil {
		f.Fatal(err)
	}
	for range 2 {
		if err := log.Append(context.Background(), goldenEvents()); err != nil {
			f.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		f.Fatal(err)
	}
	content, err := vfs.ReadFile(disk, fuzzSegment, 1<<30)
	if err != nil {
		f.Fatal(err)
	}
	return content[:4096]
}

// sealAll makes checksums right, so that the fuzzer gets behind them: headers, payloads and frames.
// It leaves out what no writer gives: sequence numbers that no log reaches, and lengths beyond
// their payload.
func sealAll(content []byte) {
	for at := 0; at+headerBytes <= min(len(content), dataStart); at += headerBytes {
		sector := content[at : at+headerBytes]
		if binary.LittleEndian.Uint64(sector[32:]) > maxFuzzSeq {
			continue
		}
		binary.LittleEndian.PutUint32(sector[headerBytes-4:], checksum(sector[:headerBytes-4]))
	}
	for at := dataStart; at+frameHeaderBytes <= len(content); at += sectorBytes {
		frame := content[at:]
		if binary.LittleEndian.Uint32(frame) != frameMagic ||
			binary.LittleEndian.Uint64(frame[24:]) > maxFuzzSeq {
			continue
		}
		count := binary.LittleEndian.Uint32(frame[32:])
		size := binary.LittleEndian.Uint32(frame[36:])
		if uint64(size) <= uint64(len(frame)-frameHeaderBytes) {
			payload := frame[frameHeaderBytes:][:size]
			if !tableFits(payload, count) {
				continue
			}
			binary.LittleEndian.PutUint32(frame[48:], checksum(payload))
		}
		binary.LittleEndian.PutUint32(frame[60:], checksum(frame[:60]))
	}
}

// tableFits reports whether the lengths in the table add up to no more than the payload. A payload
// whose checksum is right and whose lengths are not has never been written, and splitRecords does
// not look for it.
func tableFits(payload []byte, count uint32) bool {
	table := uint64(count) * lengthBytes
	if table > uint64(len(payload)) {
		return true // not plausible, which is looked for
	}
	need := table
	for i := uint64(len(payload)) - table; i < uint64(len(payload)); i += lengthBytes {
		need += recordHeaderBytes + uint64(binary.LittleEndian.Uint32(payload[i:]))
	}
	return need <= uint64(len(payload))
}
