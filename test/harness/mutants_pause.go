package harness

// The planted bugs of pauses.
var (
	// PauseInMemory forgets a pause with the process.
	PauseInMemory = Mutant{"a pause is in memory alone", []Edit{{
		"internal/engine/seglog/obligations.go", "\ts.delta.Pause = &record\n", "",
	}}}
	// PauseNotInSnapshots forgets a pause with the file of the state.
	PauseNotInSnapshots = Mutant{"a pause is in no snapshot", []Edit{{
		"internal/engine/seglog/state.go", "\tif s.pause.IsPaused() {\n", "\tif s.pause.IsPaused() && len(s.retry) > 1<<20 {\n",
	}}}
	// LeasedInAPause delivers what a wait that began before the pause has brought.
	LeasedInAPause = Mutant{"a pause begins with the next batch", []Edit{{
		"internal/deliver/loop.go", "\tif l.isPaused() { // since the wait for them began\n", "\tif l.isPaused() && len(deliveries) == 0 {\n",
	}}}
)
