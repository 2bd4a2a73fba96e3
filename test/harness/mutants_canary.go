package harness

// The planted bugs of the canary.
var (
	// CanaryStays leaves in the destination what was read back.
	CanaryStays = Mutant{"the canary is not removed", []Edit{{
		"internal/deliver/canary.go", "\tif err := c.remove(s, event); err != nil {\n\t\treturn c.notRemoved(s, delivery, err, true, true)\n",
		"\tif err := error(nil); err != nil {\n\t\treturn c.notRemoved(s, delivery, err, true, true)\n",
	}}}
	// CanaryNotRead believes the write.
	CanaryNotRead = Mutant{"the canary is not read back", []Edit{{
		"internal/deliver/canary.go", "\tcase errors.Is(err, pillarbox.ErrNotFound):\n", "\tcase errors.Is(err, pillarbox.ErrNotFound):\n\t\treturn nil\n\tcase errors.Is(err, pillarbox.ErrConflict):\n",
	}}}
	// CanaryOfBeforeForgotten takes what an earlier life may have written for not there.
	CanaryOfBeforeForgotten = Mutant{"what a crash has left of the canary is forgotten", []Edit{{
		"internal/deliver/canary.go", "return wrote || event.Timestamp < c.since, wrote", "return wrote, wrote",
	}}}
	// CanaryOpensTheBreaker takes the failure of a canary for that of the destination.
	CanaryOpensTheBreaker = Mutant{"a canary opens the breaker", []Edit{{
		"internal/deliver/canary.go", "\t\treturn fmt.Errorf(\"it is not taken: %w\", err)\n\t}\n\tvar found",
		"\t\ts.report.Down, s.report.Writes = err, s.report.Writes+1\n\t\treturn fmt.Errorf(\"it is not taken: %w\", err)\n\t}\n\tvar found",
	}}}
	// CanaryCounted takes the canary from one side of the account alone.
	CanaryCounted = Mutant{"the canary is taken from one side of the account", []Edit{{
		"canary.go", "\ta.Skipped -= min(a.Skipped, settled)\n", "\ta.Skipped -= 0 * settled\n",
	}}}
	// CanaryReplayed lets a signature in again.
	CanaryReplayed = Mutant{"a signature of the canary counts again", []Edit{{
		"internal/source/canary.go", "; used || len(k.seen)", "; used && false || len(k.seen)",
	}}}
	// CanaryForged lets in whoever signs.
	CanaryForged = Mutant{"the signature of the canary is not looked at", []Edit{{
		"internal/source/canary.go", "if at < 0 || !hmac.Equal(", "if at < 0 || false && !hmac.Equal(",
	}}}
	// CanariesPileUp sends one at each interval, however many wait.
	CanariesPileUp = Mutant{"canaries pile up", []Edit{{
		"internal/canary/schedule.go", "time.Duration(max(1, most))", "time.Duration(max(1, min(1, most)))",
	}}}
	// CanaryEarlyForgotten forgets what became of a canary before its receipt was there.
	CanaryEarlyForgotten = Mutant{"what is told before the receipt is forgotten", []Edit{{
		"internal/canary/schedule.go", "_, settled := s.results[id][to.Name]; !settled", "_, settled := s.results[id][to.Name]; settled == settled",
	}}}
	// CanaryListed shows the canary among users' events.
	CanaryListed = Mutant{"the canary is listed", []Edit{{
		"internal/node/views.go", "\t\t\tif !event.IsCanary() {\n", "\t\t\tif event != nil {\n",
	}}}
	// PageCutShort leaves the place of the canary empty, so that a page looks like the last one.
	PageCutShort = Mutant{"a page is short of the canary", []Edit{{
		"internal/node/views.go", "err != nil || !full || len(page) == limit", "err != nil || full || len(page) <= limit",
	}}}
	// SkipsOfNoRule has a shared queue count what is skipped, and not by which rule.
	SkipsOfNoRule = Mutant{"a shared queue forgets by which rule it skips", []Edit{{
		"internal/engine/sqs/attributes.go", "\t\t*c.skippedBy.Of(outcome.Skip)++\n", "",
	}}}
	// CanaryTakenForStored has the log say that a canary was stored.
	CanaryTakenForStored = Mutant{"the log takes a canary for stored", []Edit{{
		"internal/engine/seglog/find.go", "\tif event.IsCanary() {\n\t\treturn pillarbox.StandingSkipped", "\tif event == nil {\n\t\treturn pillarbox.StandingSkipped",
	}}}
)
