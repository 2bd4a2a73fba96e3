package keyindex

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pillarbox"
	"pillarbox/internal/vfs/faultfs"
)

// turn is how many keys an event loop claims at once.
const turn = 256

// BenchmarkNewKeys is the way of keys that nobody has sent before: claimed, committed, settled. The
// files are written beside it.
func BenchmarkNewKeys(b *testing.B) {
	x, err := Open(faultfs.New(faultfs.Options{}), "keys", Options{})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	claims, keys := make([]pillarbox.KeyClaim, turn), make([]Key, turn)
	next := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		for i := range claims {
			var key [16]byte
			binary.LittleEndian.PutUint64(key[:], random.Uint64())
			binary.LittleEndian.PutUint64(key[8:], random.Uint64())
			claims[i] = pillarbox.KeyClaim{Idempotency: pillarbox.Idempotency{Key: key, Fingerprint: 1},
				Timestamp: 1, RequestID: "01a20982-735b-7980-86a3-0c4338e0f4cf"}
			keys[i] = Key{Idempotency: claims[i].Idempotency, Timestamp: 1}
		}
		x.Claim(context.Background(), claims)
		next += turn
		x.Committed(keys, next)
		for i := range claims {
			claims[i].Outcome = pillarbox.KeyStored
		}
		if err := x.Settle(context.Background(), claims); err != nil {
			b.Fatal(err)
		}
		select {
		case <-x.kick:
			b.StopTimer()
			if err := x.Maintain(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		default:
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/turn, "ns/key")
}

// BenchmarkSorted is how a full table is put in order for its file.
func BenchmarkSorted(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	table := newTable(1)
	for i := range uint64(MaxTable) {
		var key [16]byte
		binary.LittleEndian.PutUint64(key[:], random.Uint64())
		binary.LittleEndian.PutUint64(key[8:], random.Uint64())
		table.add(entry{key: key, ordinal: i})
	}
	for b.Loop() {
		if n := len(table.sorted(func(*entry) bool { return true })); n != MaxTable {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxTable, "ns/key")
}
