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
		"internal/engine/seglog/route.go", "\t\ts.after.uncount(c.state.skipRule(seq))\n", "",
	}}}
	// OriginalWritten delivers what came, whatever the shape says.
	OriginalWritten = Mutant{"the original is written", []Edit{{
		"internal/deliver/step.go", "\ts.events = append(s.events, event)\n", "\ts.events = append(s.events, s.deliveries[i].Event)\n\t_ = event\n",
	}}}
)
