package benchmark

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The probe of the disk.
const (
	probeWrites = 400
	probeBytes  = 4096
)

// Probe is what one durable write of 4 KiB costs on a disk, in milliseconds.
type Probe struct {
	Writes int     `json:"writes"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Max    float64 `json:"max_ms"`
}

// ProbeDisk measures fdatasync in a directory: one write after the other into space that is there
// already, as the log does it, and each one synced.
func ProbeDisk(dir string) (p Probe, err error) {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.Write(make([]byte, probeWrites*probeBytes)); err != nil {
		return p, err
	}
	if err := file.Sync(); err != nil {
		return p, err
	}
	block := slices.Repeat([]byte{'x'}, probeBytes)
	var all []time.Duration
	for i := range probeWrites {
		start := time.Now()
		if _, err := file.WriteAt(block, int64(i)*probeBytes); err != nil {
			return p, err
		}
		if err := syncData(file); err != nil {
			return p, err
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	at := func(q float64) float64 { return milliseconds(all[int(q*float64(len(all)-1))]) }
	return Probe{Writes: probeWrites, P50: at(0.5), P99: at(0.99), Max: at(1)}, nil
}
