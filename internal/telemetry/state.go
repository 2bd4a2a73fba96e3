package telemetry

import (
	"slices"
	"time"
)

// State is what the metrics of the queue are made of. It is asked for at each scrape, so it must
// cost no scan.
type State struct {
	QueueBytes     int64
	QueueMaxBytes  int64 // 0 for no limit
	AcceptedEvents uint64
	DroppedLines   uint64 // of the log
	Accepting      bool
	QueueHanging   time.Duration // how long its storage has not answered; 0 while it does
	DiskHanging    time.Duration // the same of any call to the disk of the data directory
	Destinations   []DestinationState
	Certificates   []CertificateState
	Keys           *KeyState        // nil where no idempotency keys are kept
	AtRest         *AtRestState     // nil where nothing is sealed
	Quarantine     *QuarantineState // nil where nothing is kept on this machine
	DiskFree       int64            // bytes; negative where it isn't known
	Jobs           map[string]int   // that have not ended, by kind
}

// AtRestState is the part of State about data keys.
type AtRestState struct {
	DataKeys int
	Age      time.Duration // of the one that seals
	Failed   uint64        // since the process began
}

func (a *AtRestState) emit(emit Emit) {
	if a != nil {
		emit(dataKeys, float64(a.DataKeys))
		emit(dataKeyAge, a.Age.Seconds())
		emit(dataKeyFailures, float64(a.Failed))
	}
}

// QuarantineState is the part of State about requests whose signature fails, with counts since the
// process began.
type QuarantineState struct {
	Requests int
	Bytes    int64

	Kept, Released, Forced, Discarded, Expired, Full uint64
}

func (q *QuarantineState) emit(emit Emit) {
	if q == nil {
		return
	}
	emit(quarantinedRequests, float64(q.Requests))
	emit(quarantinedBytes, float64(q.Bytes))
	emit(quarantinedTotal, float64(q.Kept), "kept")
	emit(quarantinedTotal, float64(q.Released), "released")
	emit(quarantinedTotal, float64(q.Forced), "forced")
	emit(quarantinedTotal, float64(q.Discarded), "discarded")
	emit(quarantinedTotal, float64(q.Expired), "expired")
	emit(quarantinedTotal, float64(q.Full), "full")
}

// CertificateState is the part of State about one certificate of a listener.
type CertificateState struct {
	Listener, File string
	NotAfter       time.Time // zero where it isn't known
	Problem        bool
}

// KeyState is the part of State about idempotency keys.
type KeyState struct {
	Held, Max                    int64
	WindowSeconds, OldestSeconds int64
	InFlight, Unknown            int
	Damaged                      int64
}

// DestinationState is the part of State that exists for each destination.
type DestinationState struct {
	Name           string // from the configuration; names that occur twice fail the scrape
	PendingEvents  uint64
	RetryingEvents uint64
	HeldEvents     uint64
	PurgedEvents   uint64        // of the store
	OldestEventAge time.Duration // 0 where nothing is pending
	DeadLetters    int64         // open ones; negative where it isn't known, which leaves the metric out
	Balanced       bool
	Hanging        time.Duration // how long a write to it has not returned, once that is longer than it may; else 0
	Unknown        bool          // only Name and Hanging are known: nothing else answers

	MissingLetters int64 // that somebody has removed; negative where it isn't known
}

// pulledAtScrape reports whether a metric is made of State.
func pulledAtScrape(name string) bool {
	return slices.Contains([]string{
		queueBytes, queueMaxBytes, queueAccepted, queueAccepting, queueHanging, diskHanging, deliverHanging, queuePending, queueOldest, queueRetrying, queueHeld,
		deadLetters, deadMissing, storePurged, ledgerBalanced, logDropped,
		certificateExpiry, certificateProblem,
		keysHeld, keysMax, keysWindow, keysOldest, keysInFlight, keysUnknown, keysDamaged,
		dataKeys, dataKeyAge, dataKeyFailures,
		quarantinedRequests, quarantinedBytes, quarantinedTotal, diskFree, jobsRunning,
	}, name)
}

// Watch asks state at each scrape from now on, possibly concurrently. It is to be called once: a
// second call panics.
func (m *Metrics) Watch(state func() State) {
	if m != nil {
		m.registry.Collect(m.pulled, func(emit Emit) { collect(state(), emit) })
	}
}

func (k *KeyState) emit(emit Emit) {
	if k == nil {
		return
	}
	emit(keysHeld, float64(k.Held))
	emit(keysMax, float64(k.Max))
	emit(keysWindow, float64(k.WindowSeconds))
	emit(keysOldest, float64(k.OldestSeconds))
	emit(keysInFlight, float64(k.InFlight))
	emit(keysUnknown, float64(k.Unknown))
	emit(keysDamaged, float64(k.Damaged))
}

func collect(state State, emit Emit) {
	emit(queueBytes, float64(state.QueueBytes))
	emit(queueMaxBytes, float64(state.QueueMaxBytes))
	emit(queueAccepting, number(state.Accepting))
	emit(queueAccepted, float64(state.AcceptedEvents))
	emit(logDropped, float64(state.DroppedLines))
	emit(queueHanging, state.QueueHanging.Seconds())
	emit(diskHanging, state.DiskHanging.Seconds())
	state.Keys.emit(emit)
	state.AtRest.emit(emit)
	state.Quarantine.emit(emit)
	if state.DiskFree >= 0 {
		emit(diskFree, float64(state.DiskFree))
	}
	for kind, running := range state.Jobs {
		emit(jobsRunning, float64(running), kind)
	}
	for _, certificate := range state.Certificates {
		emit(certificateProblem, number(certificate.Problem), certificate.Listener, certificate.File)
		if !certificate.NotAfter.IsZero() {
			emit(certificateExpiry, float64(certificate.NotAfter.Unix()), certificate.Listener, certificate.File)
		}
	}
	for _, destination := range state.Destinations {
		emit(deliverHanging, destination.Hanging.Seconds(), destination.Name)
		if destination.Unknown {
			continue
		}
		emit(queuePending, float64(destination.PendingEvents), destination.Name)
		emit(queueRetrying, float64(destination.RetryingEvents), destination.Name)
		emit(queueHeld, float64(destination.HeldEvents), destination.Name)
		emit(queueOldest, max(0, destination.OldestEventAge.Seconds()), destination.Name)
		emit(storePurged, float64(destination.PurgedEvents), destination.Name)
		emit(ledgerBalanced, number(destination.Balanced), destination.Name)
		if destination.DeadLetters >= 0 {
			emit(deadLetters, float64(destination.DeadLetters), destination.Name)
		}
		if destination.MissingLetters >= 0 {
			emit(deadMissing, float64(destination.MissingLetters), destination.Name)
		}
	}
}
