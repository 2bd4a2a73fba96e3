package harness

// The planted bugs of filters, of shapes and of what was skipped.
var (
	// FilterLoses skips what the filter can't tell of.
	FilterLoses = Mutant{"a filter that fails skips", []Edit{{
		"internal/destination/filter.go", "return true, taken || failed != nil, failed", "return true, taken, failed",
	}}}
	// FilterOfToday asks the filter of today about events that were accepted by another one.
	FilterOfToday = Mutant{"the filter of today is the one that counts", []Edit{{
		"internal/destination/destination.go", "\tcase then.Where == d.Rule.Where && then.Takes(delivery.Event) && source:\n", "\tcase then.Takes(delivery.Event) && source:\n",
	}}}
	// SkipCompletesNothing lets a request wait for what is skipped.
	SkipCompletesNothing = Mutant{"a skip completes nothing", []Edit{{
		"internal/deliver/watch.go", "\t\tcase pillarbox.OutcomeSkipped:\n\t\t\tw.tellLocked(", "\t\tcase pillarbox.OutcomeHeld:\n\t\t\tw.tellLocked(",
	}}}
	// FilteredForgotten does not remember what a filter has skipped.
	FilteredForgotten = Mutant{"what a filter skipped looks stored", []Edit{{
		"internal/engine/seglog/settle.go", "s.delta.aside(\"filtered\").Add.add(leased.seq)", "_ = leased",
	}}}
	// RoutedAsHad takes what waits for a filter for delivered.
	RoutedAsHad = Mutant{"what a filter is still to be asked about was had", []Edit{{
		"internal/engine/seglog/state.go", "return rule.Where == \"\" || !s.waits(seq)", "return rule.Where == \"\" || s.next() > 0",
	}, {
		"internal/engine/seglog/state.go", "// waits reports whether the event is pending.\n", "func (s *state) next() uint64 { return s.cursor }\n\n// waits reports whether the event is pending.\n",
	}}}
	// UnskippedTwice counts an event once more for each time that it is taken.
	UnskippedTwice = Mutant{"what was skipped stays counted", []Edit{{
		"internal/engine/seglog/route.go", "\t\ts.after.uncount(c.state.skipRule(seq, delivery.Event), 1)\n", "",
	}}}
	// FreedPassed lets the cursor pass what is let go while it is read.
	FreedPassed = Mutant{"the cursor passes what is let go", []Edit{{
		"internal/engine/seglog/settle.go", " || s.freed[front.seq]", "",
	}}}
	// UnskippedInMemory forgets with the power what a back-fill has taken.
	UnskippedInMemory = Mutant{"what a back-fill takes is not durable", []Edit{{
		"internal/engine/seglog/unskip.go", "\ts.durable = true\n", "",
	}}}
	// CopiedUncounted does not count what was written before the copy was cut off.
	CopiedUncounted = Mutant{"what was written and not counted is forgotten", []Edit{{
		"internal/backfill/copy.go", "&& !c.pending[event.RequestID]\n\t\t})", "\n\t\t})",
	}}}
	// CopiedUnannounced writes before it says what it writes.
	CopiedUnannounced = Mutant{"what is written is not announced", []Edit{{
		"internal/backfill/copy.go", "\t\terr := c.begin(ctx, events)\n\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n", "\t\tvar err error\n",
	}}}
	// CopiedAgain counts what an earlier copy has counted, where the destination can't be asked.
	CopiedAgain = Mutant{"a copy that is done twice is counted twice", []Edit{{
		"internal/backfill/copy.go", "\t\tc.counted = c.record.Reached\n", "",
	}}}
	// CopiedKept counts events as forgotten that the log has.
	CopiedKept = Mutant{"what is kept counts as forgotten", []Edit{{
		"internal/engine/seglog/copied.go", "return s.SkippedBy.Before - min(s.SkippedBy.Before, held)", "_ = held\n\treturn s.SkippedBy.Before",
	}}}
	// JobStartsAnew goes on with a back-fill from its beginning.
	JobStartsAnew = Mutant{"a job starts anew", []Edit{{
		"internal/backfill/jobs.go", "\t\treturn j.run(request, last), nil\n", "\t\treturn j.run(request, Progress{State: StateRunning, StartedAt: last.StartedAt}), nil\n",
	}}}
	// ReplayStartsAnew tries letters again that were refused in an earlier life.
	ReplayStartsAnew = Mutant{"a replay starts anew", []Edit{{
		"internal/replay/replay.go", "\t\trun.request.Filter.After = last.Cursor.position()\n", "",
	}}}
	// JobOfThisLife keeps a job when it has begun.
	JobOfThisLife = Mutant{"a job is kept with its first progress", []Edit{{
		"internal/background/jobs.go", "\tif err := j.opts.Keeper.keep(&added.record); err != nil {\n\t\treturn nil, err\n\t}\n", "",
	}}}
	// CutOffIsCancelled keeps the end of what the stop of a server has cut off.
	CutOffIsCancelled = Mutant{"a stop cancels jobs", []Edit{{
		"internal/background/jobs.go", "cutOff := j.closed && ", "cutOff := false && ",
	}}}
	// OriginalWritten delivers what came, whatever the shape says.
	OriginalWritten = Mutant{"the original is written", []Edit{{
		"internal/deliver/step.go", "\ts.events = append(s.events, event)\n", "\ts.events = append(s.events, s.deliveries[i].Event)\n\t_ = event\n",
	}}}
)
