package seglog

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// FuzzSegmentMutate changes bytes of a sound segment. What is delivered all the same was sent, and
// is as it was.
func FuzzSegmentMutate(f *testing.F) {
	sound := soundSegment(f)
	f.Add(uint64(1), uint8(1))
	f.Add(uint64(2), uint8(40))
	f.Add(uint64(3), uint8(255))
	sent := map[string]*pillarbox.Event{}
	for _, event := range goldenEvents() {
		sent[event.RequestID] = event
	}
	f.Fuzz(func(t *testing.T, seed uint64, edits uint8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		content := append([]byte{}, sound...)
		for range int(edits) {
			mutate(rng, content)
		}
		disk := faultfs.New(faultfs.Options{})
		if err := errors.Join(disk.Mkdir("queue"),
			vfs.WriteFile(disk, fuzzSegment, content)); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(context.Background(), disk, nil, "queue", func(event *pillarbox.Event) error {
			if want := sent[event.RequestID]; want == nil || !reflect.DeepEqual(event, want) {
				t.Errorf("seed %d, %d edits: %+v was never sent", seed, edits, event)
			}
			return nil
		})
		if err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
			t.Fatalf("seed %d, %d edits: %v", seed, edits, err)
		}
	})
}

// mutate changes a byte, clears or copies a run of sectors, or moves a run of bytes.
func mutate(rng *rand.Rand, content []byte) {
	from, to := rng.IntN(len(content)), rng.IntN(len(content))
	length := min(rng.IntN(2*sectorBytes), len(content)-from, len(content)-to)
	switch rng.IntN(4) {
	case 0:
		content[from] ^= 1 << rng.IntN(8)
	case 1:
		clear(content[from : from+length])
	case 2:
		from, to = from&^(sectorBytes-1), to&^(sectorBytes-1)
		copy(content[to:], content[from:min(len(content), from+sectorBytes)])
	default:
		copy(content[to:to+length], content[from:from+length])
	}
}

// FuzzStateFile takes anything for the two files of a delivery state, with checksums made right now
// and then: the start succeeds, or is refused with what to do, and nothing panics.
func FuzzStateFile(f *testing.F) {
	first, second := soundStates(f)
	f.Add(first, second, false)
	f.Add(first, []byte{}, true)
	f.Add(first[:600], second, true)
	f.Add([]byte("x"), make([]byte, 1024), false)
	f.Add(second, first, true)
	f.Fuzz(func(t *testing.T, one, other []byte, sealed bool) {
		if len(one)+len(other) > 64<<10 {
			return
		}
		one, other = append([]byte{}, one...), append([]byte{}, other...)
		if sealed {
			sealFrames(one)
			sealFrames(other)
		}
		disk := faultfs.New(faultfs.Options{})
		err := errors.Join(disk.Mkdir("queue"),
			vfs.WriteFile(disk, stateName("queue", "events", 0), one),
			vfs.WriteFile(disk, stateName("queue", "events", 1), other))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(disk, nil, "queue"); err != nil {
			t.Fatalf("inspect: %v", err)
		}
		log, err := Open(disk, "queue",
			Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1, ManualMaintenance: true})
		if err != nil {
			if !errors.Is(err, pillarbox.ErrCorrupt) ||
				!strings.Contains(err.Error(), "pillarbox queue repair") {
				t.Errorf("open: %v, which does not say what to do", err)
			}
			return
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// sealFrames makes the checksums of the frames right, so that the fuzzer gets behind them.
func sealFrames(content []byte) {
	for at := 0; at+frameHeaderBytes <= len(content); at += sectorBytes {
		frame := content[at:]
		if header, ok := decodeFrameHeader(frame, 0, int64(at)); ok &&
			int64(header.payload) <= int64(len(frame)-frameHeaderBytes) {
			header.payloadCRC = checksum(frame[frameHeaderBytes:][:header.payload])
			header.encode(frame)
		}
	}
}

// soundStates are the two files of a state with settled, waiting and given up events.
func soundStates(f *testing.F) (first, second []byte) {
	f.Helper()
	disk := faultfs.New(faultfs.Options{})
	for range 2 {
		log, err := Open(disk, "queue", Options{
			SegmentBytes: MinSegmentBytes, MinFreeBytes: 1, StateBytes: 4 << 10,
			ManualMaintenance: true,
		})
		if err != nil {
			f.Fatal(err)
		}
		if err := errors.Join(log.Append(context.Background(), goldenEvents()), settleSome(log),
			log.Close()); err != nil {
			f.Fatal(err)
		}
	}
	first, err := vfs.ReadFile(disk, stateName("queue", "events", 0), 1<<30)
	if err != nil {
		f.Fatal(err)
	}
	second, err = vfs.ReadFile(disk, stateName("queue", "events", 1), 1<<30)
	if err != nil {
		f.Fatal(err)
	}
	return first, second
}

func settleSome(log *Log) error {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 100})
	if err != nil {
		return err
	}
	kinds := []pillarbox.OutcomeKind{
		pillarbox.OutcomeStored, pillarbox.OutcomeRetry, pillarbox.OutcomeRejected,
		pillarbox.OutcomeReleased,
	}
	var outcomes []pillarbox.Outcome
	for i, delivery := range deliveries {
		outcome := pillarbox.Outcome{Handle: delivery.Handle, Kind: kinds[i%len(kinds)]}
		switch outcome.Kind {
		case pillarbox.OutcomeRejected:
			outcome.Rejection = &pillarbox.Rejection{Reason: "no", DeadAt: 1}
			fallthrough
		case pillarbox.OutcomeRetry:
			outcome.Attempt = &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
		}
		outcomes = append(outcomes, outcome)
	}
	return log.Settle(context.Background(), "events", outcomes)
}

// FuzzDamageReport takes anything for a report in quarantine: it does not stop the start.
func FuzzDamageReport(f *testing.F) {
	f.Add(
		[]byte(
			`{"file":"queue/0000000000000001.seg","offset":1024,"reason":"x","lost_events":1,"first_sequence":2}`,
		),
	)
	f.Add([]byte(`{"offset":1e99}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		disk := faultfs.New(faultfs.Options{})
		err := errors.Join(vfs.MkdirAll(disk, "queue/quarantine"),
			vfs.WriteFile(disk, "queue/quarantine/0000000000000001-1024"+damageSuffix, text))
		if err != nil {
			t.Fatal(err)
		}
		log, err := Open(disk, "queue",
			Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1, ManualMaintenance: true})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
