package harness

// The planted bugs of the history.
var (
	// CountedAgain takes the whole of a counter for what has happened in a minute.
	CountedAgain = Mutant{"a minute counts all since the start", []Edit{{
		"internal/rollup/record.go", "\t\t\tvalue -= was\n", "\t\t\tvalue -= 0 * was\n",
	}}}
	// MinuteNotSynced leaves a minute to the system.
	MinuteNotSynced = Mutant{"a minute is not synced", []Edit{{
		"internal/rollup/series.go", "if err := file.Sync(); err != nil {", "if err != nil {",
	}}}
	// HistoryNotNamed leaves the name of a file to the system.
	HistoryNotNamed = Mutant{"the name of a file is not synced", []Edit{{
		"internal/rollup/series.go", "\tif s.size == 0 {\n", "\tif s.size < 0 {\n",
	}}}
	// WrittenTwice appends again what a failed write may have left.
	WrittenTwice = Mutant{"what a failed write has left counts", []Edit{{
		"internal/rollup/series.go", "\ts.size = min(s.size, int64(len(file)))\n", "\ts.size = int64(len(file))\n",
	}}}
	// TornIsGood goes on behind a line that was not finished.
	TornIsGood = Mutant{"a torn line is left in its place", []Edit{{
		"internal/rollup/series.go", "s.name, s.size, s.failed = name, c.end, false", "s.name, s.size, s.failed = name, int64(len(file)), false",
	}}}
	// HoursForgotten adds up the last hour alone.
	HoursForgotten = Mutant{"hours that ended while no server ran are forgotten", []Edit{{
		"internal/rollup/rollup.go", "\tsince := max(h.lastHour+int64(time.Hour/time.Second), now", "\tsince := max(end-int64(time.Hour/time.Second), now",
	}}}
)
