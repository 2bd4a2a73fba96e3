package harness

// Files of the built-in alerts.
const (
	alertCenter = "internal/alert/center.go"
	alertTell   = "internal/alert/tell.go"
	alertState  = "internal/alert/state.go"
)

// The planted bugs of built-in alerts.
var (
	// EndUntold forgets an alert that is over.
	EndUntold = Mutant{"the end of an alert is not told", []Edit{{
		alertTell, "\t\tcase o != nil:\n", "\t\tcase o != nil && a.fires():\n",
	}}}
	// NeverRepeated tells what goes on once.
	NeverRepeated = Mutant{"what goes on is not told again", []Edit{{
		alertTell, "passed(o.Told, c.repeat(a.Severity), at)", "passed(o.Told, 1000*c.repeat(a.Severity), at)",
	}}}
	// QuietSwallows takes what was not told in quiet hours for told.
	QuietSwallows = Mutant{"quiet hours swallow alerts", []Edit{{
		alertTell, "\t\tif !r.wants(a.Severity) || quiet && a.Severity == Low {\n",
		"\t\tif quiet && a.Severity == Low {\n\t\t\ta.Owed[r.Name] = &owed{Begun: at, Told: at}\n\t\t}\n\t\tif !r.wants(a.Severity) || quiet && a.Severity == Low {\n",
	}}}
	// QuietInUTC reads the hours by another clock than the one on the wall.
	QuietInUTC = Mutant{"quiet hours are of another time zone", []Edit{{
		"internal/alert/quiet.go", "\tlocal := t.In(zone)\n", "\t_, offset := time.Unix(0, 0).In(zone).Zone()\n\tlocal := t.UTC().Add(time.Duration(offset) * time.Second)\n",
	}}}
	// DeadBlocksAll has all receivers wait for the one that does not answer.
	DeadBlocksAll = Mutant{"a receiver that is dead blocks the others", []Edit{{
		alertTell, "\t\tc.failed(r, err, at)\n\t\treturn false\n", "\t\tc.failed(r, err, at)\n\t\tfor _, other := range c.receivers {\n\t\t\tother.next = r.next\n\t\t}\n\t\treturn false\n",
	}}}
	// AlertsNotSynced leaves the state to the system.
	AlertsNotSynced = Mutant{"the state of alerts is not synced", []Edit{{
		alertState, "\tif err := vfs.WriteFile(fsys, StateFile, content); err != nil {\n",
		"\terr := fsys.Remove(StateFile)\n\tfile, err := vfs.Create(fsys, StateFile)\n\tif err == nil {\n\t\t_, err = file.WriteAt(content, 0)\n\t\terr = errors.Join(err, file.Close())\n\t}\n\tif err != nil {\n",
	}}}
	// TellingNotKept notes that somebody may have been told once he was.
	TellingNotKept = Mutant{"that a message is on its way is not kept", []Edit{{
		alertTell, "\t\t\tc.keep(ctx) // that it may have been told from now on\n", "",
	}}}
	// StartEndsAlerts believes a server that has just begun.
	StartEndsAlerts = Mutant{"a start ends alerts", []Edit{{
		alertCenter, "return SettleLooks * c.opts.Every }", "return 0 * SettleLooks * c.opts.Every }",
	}}}
	// HourForgotten counts anew after each start.
	HourForgotten = Mutant{"a restart forgets what has grown", []Edit{{
		"internal/alert/past.go", "gap < 0 || gap > remembered", "gap != 0 || gap > remembered",
	}}}
	// FlapsAreEnds ends an alert whose condition does not hold for a moment.
	FlapsAreEnds = Mutant{"a moment is an end", []Edit{{
		alertCenter, "if at.Sub(a.Clear) >= c.opts.ResolveAfter {", "if at.Sub(a.Clear) >= 0*c.opts.ResolveAfter {",
	}}}
	// DiskHoldsMessages waits for the disk, however long that takes.
	DiskHoldsMessages = Mutant{"a disk that hangs holds messages up", []Edit{{
		alertCenter, "timer := time.NewTimer(saveWait)", "timer := time.NewTimer(1000 * saveWait)",
	}}}
	// EveryoneIsToldAll tells a receiver what is not for it.
	EveryoneIsToldAll = Mutant{"receivers are told what they don't want", []Edit{{
		alertTell, "if !r.wants(a.Severity) || quiet", "if quiet",
	}}}
	// DamageIsFatal believes any file that is JSON.
	DamageIsFatal = Mutant{"damage of the state is believed", []Edit{{
		alertState, "s.Version != stateVersion || s.Past == nil ||", "s.Version < 0 || s.Past == nil ||",
	}}}
	// BeatsBlindly says that all is well without looking.
	BeatsBlindly = Mutant{"the heartbeat goes on without a look", []Edit{{
		alertTell, "\t\tif c.looks() {\n", "\t\tif c.looks() || true {\n",
	}}}
	// ThresholdDrifts has another limit than the alert for Prometheus.
	ThresholdDrifts = Mutant{"a limit differs from that for Prometheus", []Edit{{
		"internal/alert/rules.yaml", "limits: { seconds: 900 }", "limits: { seconds: 90000 }",
	}}}
	// SlackReadsLinks lets texts call everybody.
	SlackReadsLinks = Mutant{"Slack: texts are not escaped", []Edit{{
		"internal/alert/receiver/slack.go", "slackEscape.Replace(item.Text())", "item.Text()",
	}}}
	// IncidentStaysOpen never closes an incident.
	IncidentStaysOpen = Mutant{"PagerDuty: nothing is resolved", []Edit{{
		"internal/alert/receiver/pagerduty.go", "alert.EventResolved: {resolve}", "alert.EventResolved: {trigger}",
	}}}
	// MailInTheClear goes on without TLS.
	MailInTheClear = Mutant{"e-mail: any certificate will do", []Edit{{
		"internal/alert/receiver/mail.go", "MinVersion: tls.VersionTLS12, ServerName: host}", "MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: true}",
	}}}
	// ControlsInTexts keeps what a terminal and a header would read.
	ControlsInTexts = Mutant{"texts keep control characters", []Edit{{
		"internal/alert/message.go", "\t\tif unicode.IsPrint(r) {\n", "\t\tif unicode.IsPrint(r) || true {\n",
	}}}
)
