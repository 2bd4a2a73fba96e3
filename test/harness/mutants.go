package harness

const (
	appendSource      = "internal/engine/seglog/append.go"
	commitSource      = "internal/engine/seglog/commit.go"
	rotateSource      = "internal/engine/seglog/rotate.go"
	maintenanceSource = "internal/engine/seglog/maintenance.go"
	trimSource        = "internal/engine/seglog/trim.go"
	segmentsSource    = "internal/engine/seglog/segmentset.go"
	settleSource      = "internal/engine/seglog/settle.go"
	stepSource        = "internal/deliver/step.go"
	headSource        = "internal/framing/head.go"

	lettersSource = "internal/engine/files/"

	syncOfGroup = "if err := c.live.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"sync %s"
)

// The planted bugs. Each is a mistake that other systems have shipped; the harnesses name the ones
// they must find.
var (
	// NothingSynced forgets fdatasync.
	NothingSynced = Mutant{"no sync", []Edit{{
		"internal/vfs/disk_linux.go",
		"func datasync(file *os.File) error {", "func datasync(file *os.File) error {\n\treturn nil",
	}}}
	// GroupNotSynced forgets it in the log alone.
	GroupNotSynced = Mutant{"no sync of a group", []Edit{{
		commitSource, syncOfGroup, "if err := error(nil); err != nil {\n\t\treturn fmt.Errorf(\"sync %s",
	}}}
	// AckBeforeSync syncs a group only before the next one is written.
	AckBeforeSync = Mutant{"acknowledge before sync", []Edit{
		{commitSource, syncOfGroup, "if err := error(nil); err != nil {\n\t\treturn fmt.Errorf(\"sync %s"},
		{commitSource, "\tif _, err := c.live.WriteAt(frame, tail.end); err != nil {",
			"\tif err := c.live.Sync(); err != nil {\n\t\treturn err\n\t}\n\tif _, err := c.live.WriteAt(frame, tail.end); err != nil {"},
	}}
	// NoDirSync does not make the name of a new segment durable.
	NoDirSync = Mutant{"no directory sync", []Edit{{
		rotateSource, "if err := c.fsys.SyncDir(c.dir); err != nil {", "if err := error(nil); err != nil {",
	}}}
	// TrimBeforeStoreIsDurable takes a commit of the database for durable which is not.
	TrimBeforeStoreIsDurable = Mutant{"trim before the store is durable", []Edit{{
		"internal/engine/sqlite/writer.go", "PRAGMA synchronous = FULL;", "PRAGMA synchronous = NORMAL;",
	}}}
	// TrimBeforeCursor removes a segment before the cursors that have passed it are durable.
	TrimBeforeCursor = Mutant{"trim before the cursor is durable", []Edit{
		{trimSource, "if err := t.destinations.sync(); err != nil {\n\t\t\tt.opts.Logger.Warn(\"sync delivery state before", "if err := error(nil); err != nil {\n\t\t\tt.opts.Logger.Warn(\"sync delivery state before"},
		{trimSource, "if c.durableCursor() < old.nextSeq {", "if c == nil {"},
		{maintenanceSource, "err := m.destinations.sync()\n\tif err != nil {\n\t\tm.opts.Logger.Warn(\"sync delivery state\",", "err := error(nil)\n\tif err != nil {\n\t\tm.opts.Logger.Warn(\"sync delivery state\","},
	}}
	// EndBelieved takes what a killed life has left in the kernel's memory for durable.
	EndBelieved = Mutant{"unproven end believed", []Edit{{
		"internal/engine/seglog/load.go", "\t\to.holdBack(item)\n", "",
	}}}
	// StateBelieved believes a sync of what an earlier start may have failed to sync.
	StateBelieved = Mutant{"unproven state believed", []Edit{{
		"internal/engine/seglog/journal.go", "\t\"io/fs\"\n", "\t\"io/fs\"\n\t\"os\"\n",
	}, {
		"internal/engine/seglog/journal.go", "\terr := j.roll(found)\n\tif",
		"\tfile, err := j.fsys.OpenFile(j.files[j.current].name, os.O_RDWR)\n\tif err == nil {\n\t\terr = errors.Join(file.Sync(), file.Close())\n\t\tj.durable = j.written\n\t}\n\tif",
	}}}
	// AttemptNotSynced answers before an attempt or a verdict is durable.
	AttemptNotSynced = Mutant{"attempt not synced", []Edit{{settleSource, "\ts.durable = true\n\tif s.consumer.retries", "\tif s.consumer.retries"}}}
	// AgeByTheWallClock takes the date for a measure of how long an event has waited.
	AgeByTheWallClock = Mutant{"age by the wall clock", []Edit{{
		stepSource, "\tif delivery.Measured {\n\t\treturn delivery.Waited\n\t}\n\treturn s.at.date()", "\treturn s.at.Now.Round(0)",
	}}}
	// UnreadIsRot takes what the disk can't read now for what is damaged for good.
	UnreadIsRot = Mutant{"unreadable is rotten", []Edit{{
		settleSource, "\tif !unread {\n\t\ts.after.Damaged += n", "\tif true {\n\t\ts.after.Damaged += n",
	}}}
	// UnreadTrimmed removes a segment that the disk can't read all of.
	UnreadTrimmed = Mutant{"unreadable segment removed", []Edit{
		{"internal/engine/seglog/consumer.go", "&c.state.deferred, &c.state.unread} {\n\t\tif set.count > 0", "&c.state.deferred} {\n\t\tif set.count > 0"},
		{segmentsSource, "\tif damaged {\n\t\terr = set.quarantine(old)", "\tif damaged && false {\n\t\terr = set.quarantine(old)"},
	}}
	// RemovedNotNoticed writes on to a file that somebody has removed.
	RemovedNotNoticed = Mutant{"removed file not noticed", []Edit{
		{commitSource, "if err := c.verifyLive(c.opts.Now()); err != nil {", "if err := error(nil); err != nil {"},
		{appendSource, "err := a.committer.verifyLive(a.opts.Now())\n", "err := error(nil)\n"},
	}}
	// LockOnTheFile locks a name, and not what it stands for.
	LockOnTheFile = Mutant{"lock on a file name", []Edit{{
		"internal/vfs/lock.go", "if err := lock(dir); err != nil {", "if err := error(nil); err != nil {",
	}}}
	// MarkNotKept gives a store no mark that grows.
	MarkNotKept = Mutant{"store without a mark", []Edit{{
		"internal/engine/sqlite/insert.go", "err = w.markWrite(len(rows))", "err = w.markWrite(0)",
	}}}
	// HeldSkipped drops what no destination takes any more.
	HeldSkipped = Mutant{"held events skipped", []Edit{{
		stepSource, "outcome.Kind = pillarbox.OutcomeHeld", "outcome.Kind = pillarbox.OutcomeSkipped",
	}}}
	// FullDenied says that a queue accepts until nothing at all fits.
	FullDenied = Mutant{"full queue denied", []Edit{{
		"internal/engine/seglog/log.go", "case l.backlog.wouldRefuseLocked(l.backlog.usualLocked() + l.appender.pending.size()):", "case l.backlog.maxBytes > 0 && stats.Bytes >= l.backlog.maxBytes:",
	}}}
	// StepBelievedAtOnce takes over whatever the wall clock shows.
	StepBelievedAtOnce = Mutant{"date believed at once", []Edit{{
		"internal/clock/clock.go", "now.Mono-c.doubt.since < Confirmation", "false",
	}, {
		"internal/clock/clock.go", "c.doubt == nil || (offset-c.doubt.offset).Abs() > Tolerance", "false",
	}}}
	// HeldNotKept removes segments although held and deferred events are in them.
	HeldNotKept = Mutant{"segments of held events removed", []Edit{{
		"internal/engine/seglog/consumer.go", "\t\t\tneeds = min(needs, oldest)\n", "\t\t\t_ = oldest\n",
	}}}
	// RoutedBeforeTaken lets go of routed events before the other destination has them durably.
	RoutedBeforeTaken = Mutant{"routed before it is taken", []Edit{{
		"internal/engine/seglog/route.go", "\ts.durable = true\n\ts.finish()\n\tif err := s.write(); err != nil {\n\t\treturn err\n\t}\n\tfor _, delivery := range taken",
		"\ts.finish()\n\tif err := s.write(); err != nil {\n\t\treturn err\n\t}\n\tfor _, delivery := range taken",
	}}}
	// ConflictGivesUpAll leaves a whole batch leased because one event of it is not.
	ConflictGivesUpAll = Mutant{"a conflict leaves the others leased", []Edit{{
		"internal/deliver/loop.go", "errors.Is(err, pillarbox.ErrConflict) && len(outcomes) > 1 {", "errors.Is(err, pillarbox.ErrConflict) && len(outcomes) > 1<<30 {",
	}}}
	// LinesNotCounted drops lines of the log without a count.
	LinesNotCounted = Mutant{"lines dropped without a count", []Edit{{
		"internal/telemetry/lines.go", "\t\tl.dropped++\n\t\treturn len(line), nil\n", "\t\treturn len(line), nil\n",
	}}}
	// LargeBodiesTakeAll keeps no memory for small bodies.
	LargeBodiesTakeAll = Mutant{"no room for small bodies", []Edit{{
		"internal/admission/memory.go", "\t\tlimit -= m.limit / smallShare\n", "",
	}}}
	// ChargedAsAnnounced charges a body its whole length when it begins.
	ChargedAsAnnounced = Mutant{"bodies charged as announced", []Edit{{
		"internal/intake/handler.go", "\tbody, err = readAll(from, r.ContentLength, most, held)\n", "\t_ = held.grow(most)\n\tbody, err = readAll(from, r.ContentLength, most, held)\n",
	}}}
	// YoungestMakesRoom closes the connection that has rested for the shortest time.
	YoungestMakesRoom = Mutant{"the youngest idle makes room", []Edit{{
		"internal/admission/connections.go", "\tfirst := i.seats.Front()\n\tif first == nil || now", "\tfirst := i.seats.Back()\n\tif first == nil || now",
	}}}
	// RevokedKeyTaken lets a key in that was revoked.
	RevokedKeyTaken = Mutant{"a revoked key opens", []Edit{{
		"internal/apikey/apikey.go", "\tcase e.RevokedAt != 0:\n", "\tcase e.RevokedAt < 0:\n",
	}}}
	// ExpiryIgnored lets a key in for ever.
	ExpiryIgnored = Mutant{"a key that has expired opens", []Edit{{
		"internal/apikey/apikey.go", "now.UnixMicro() >= int64(e.ExpiresAt)", "now.UnixMicro() < 0",
	}}}
	// KeyScopeIgnored lets a key into every source.
	KeyScopeIgnored = Mutant{"a key opens every source", []Edit{{
		"internal/apikey/apikey.go", "e.Source != source:", "source == \"\":",
	}}}
	// BatchesOpen asks who comes with single events only.
	BatchesOpen = Mutant{"batches are open to everybody", []Edit{{
		"internal/source/admit.go", "\tif s.auth == nil {\n", "\tif s.auth == nil || head.Batch {\n",
	}}}
	// OtherMethodsOpen asks who comes with POST only.
	OtherMethodsOpen = Mutant{"other methods are open to everybody", []Edit{{
		"internal/source/admit.go", "\tif s.auth == nil {\n", "\tif s.auth == nil || head.Method != \"POST\" {\n",
	}}}
	// AllowedThoughDenied forgets what is denied.
	AllowedThoughDenied = Mutant{"an address that is denied may send", []Edit{{
		"internal/source/address.go", "slices.ContainsFunc(a.deny, within) ||", "len(a.allow) == 0 && slices.ContainsFunc(a.deny, within) ||",
	}}}
	// LastCredentialTaken looks at the last of several credentials.
	LastCredentialTaken = Mutant{"the last of several credentials counts", []Edit{{
		"internal/source/auth.go", "\tcase lines > 1 || keyLines > 1:\n", "\tcase lines > 9 || keyLines > 9:\n",
	}}}
	// AnyAlgorithm believes every algorithm that a key can verify.
	AnyAlgorithm = Mutant{"tokens of every algorithm", []Edit{
		{"internal/jwt/jwt.go", "\tif !slices.Contains(v.settings.Algorithms, alg) {\n", "\tif alg == \"none\" {\n"},
		{"internal/jwt/jwt.go", "SupportedSigningAlgs: v.settings.Algorithms", "SupportedSigningAlgs: Algorithms()"},
	}}
	// AnyAudience believes a token that was made for somebody else.
	AnyAudience = Mutant{"tokens for every audience", []Edit{
		{"internal/jwt/jwt.go", "\tcase !isOurs:\n", "\tcase false && !isOurs:\n"},
		{"internal/jwt/jwt.go", "oidc.Config{ClientID: v.settings.Audience,", "oidc.Config{SkipClientIDCheck: true,"},
	}}
	// RememberedForEver believes a token that was verified once, whatever time it is.
	RememberedForEver = Mutant{"a verified token has no end", []Edit{{
		"internal/jwt/jwt.go", "found && !known.expiry.Before(now) && !now.Before(known.notBefore)", "found",
	}}}
	// RememberedBeyondItsKey believes a token whose key the issuer has taken back.
	RememberedBeyondItsKey = Mutant{"a verified token outlives its key", []Edit{{
		"internal/jwt/jwt.go", "\tif v.generation != keys.generation {\n", "\tif v.generation > keys.generation {\n",
	}}}
	// BrokenEventsTaken takes for a CloudEvent what has no type.
	BrokenEventsTaken = Mutant{"a CloudEvent without its type", []Edit{{
		"internal/cloudevent/cloudevent.go", "\tfor which := range at {\n\t\tif !a.set[which] {", "\tfor which := range kind {\n\t\tif !a.set[which] {",
	}}}
	// EventNotDecoded keeps attributes as they stand in headers.
	EventNotDecoded = Mutant{"attributes of CloudEvents are not decoded", []Edit{{
		"internal/cloudevent/cloudevent.go", "\t\tvalue = unescape(value)\n", "\t\tvalue = string([]byte(value))\n",
	}}}
	// ItemsNotAsked takes every item of a batch for a CloudEvent.
	ItemsNotAsked = Mutant{"items of a batch are not asked for", []Edit{{
		"internal/intake/batch.go", "\tb.checkItems(to.Source)\n", "",
	}}}
	// LooseFirst tries paths that take much before those that are exact.
	LooseFirst = Mutant{"the loosest path goes first", []Edit{{
		"internal/source/source.go", "return a.Compare(b.Pattern)", "return b.Compare(a.Pattern)",
	}}}
	// TenantNotDecoded keeps a segment of a path as it came.
	TenantNotDecoded = Mutant{"attributes of paths are not decoded", []Edit{{
		"internal/urlpath/pattern.go", "all.Set(name, strings.Clone(unescape(part)))", "all.Set(name, strings.Clone(part))",
	}}}
	// EveryOrigin lets the page of every site read answers.
	EveryOrigin = Mutant{"every origin is allowed", []Edit{{
		"internal/source/cors.go", "!allowed || found != \"\" {", "false && !allowed || found != \"\" {",
	}}}
	// AskedBeforeAdmitted asks for a body before it is known whether it may come in.
	AskedBeforeAdmitted = Mutant{"a body is asked for too early", []Edit{{
		"internal/intake/handler.go", "\tadmission, err := admit(w, to.Source, head)\n", "\t_, _ = r.Body.Read(nil)\n\tadmission, err := admit(w, to.Source, head)\n",
	}}}
	// FactsNotStored leaves what is known out of the record.
	FactsNotStored = Mutant{"facts are not in the record", []Edit{{
		"internal/engine/seglog/record.go", "\tif event.Facts != nil {\n\t\tb = appendFacts(b, event.Facts)\n\t}\n", "",
	}}}
	// CallerForgotten has all senders share their idempotency keys.
	CallerForgotten = Mutant{"idempotency keys of all senders are one", []Edit{{
		"internal/source/admit.go", "Grant{source: s, who: a.who}", "Grant{source: s}",
	}}}
	// BatchNotVerified asks for a signature of single events only.
	BatchNotVerified = Mutant{"batches without a signature", []Edit{{
		"internal/source/admit.go", "\tif s.Signature != nil {\n", "\tif s.Signature != nil && !head.Batch {\n",
	}}}
	// AskedBeforeVerified answers a handshake that nobody has signed.
	AskedBeforeVerified = Mutant{"handshakes before the signature", []Edit{{
		"internal/source/admit.go", "\tif s.Signature != nil {\n\t\tverified, why := s.verify(head, body)\n", "\tif asked := s.greeter.WithBody(body); asked != nil {\n\t\treturn Checked{}, asked\n\t}\n\tif s.Signature != nil {\n\t\tverified, why := s.verify(head, body)\n",
	}}}
	// HandshakeStored stores what a handshake has asked.
	HandshakeStored = Mutant{"handshakes are stored", []Edit{{
		"internal/source/admit.go", "\tif s.greeter != nil && !head.Batch {\n", "\tif false {\n",
	}}}
	// SignatureTold tells the client what is wrong with its signature.
	SignatureTold = Mutant{"the reason of a refused signature is told", []Edit{{
		"internal/source/verify.go", "\treturn errUnverified\n", "\treturn &protocol.Error{Status: http.StatusUnauthorized, Challenge: \"Signature\", Detail: why.Error()}\n",
	}}}
	// TokenKept keeps the secret of a source with the event that it came with.
	TokenKept = Mutant{"the secret of a source is kept", []Edit{{
		"internal/evidence/evidence.go", "\t\tfound = found || endings[last]\n", "",
	}, {
		"internal/source/keep.go", ", slices.Contains(k.bearers, lower):\n", ":\n",
	}}}
	// FutureBelieved holds a signed time against ours on one side only.
	FutureBelieved = Mutant{"a time in the future is believed", []Edit{{
		"internal/signature/text.go", "\tcase age < -tolerance:\n", "\tcase age < -1000*tolerance:\n",
	}}}
	// FirstLineTaken takes the first of two headers.
	FirstLineTaken = Mutant{"the first of two signatures counts", []Edit{{
		"internal/signature/text.go", "\t\tif found {\n\t\t\treturn \"\", Malformed\n\t\t}\n", "\t\tif found {\n\t\t\tbreak\n\t\t}\n",
	}}}
	// BodyNotCovered takes a body that is no form and has no digest in the URL.
	BodyNotCovered = Mutant{"a body that the URL does not cover", []Edit{{
		"internal/signature/twilio.go", "\tif found == 0 && len(r.Body) == 0 {\n", "\tif found == 0 {\n",
	}}}
	// LetterNotSynced promises a group of dead letters before it is durable.
	LetterNotSynced = Mutant{"dead letters without a sync", []Edit{{
		lettersSource + "journal.go", "\tif err == nil {\n\t\terr = j.file.Sync()\n\t}\n", "",
	}}}
	// JournalNotNamed does not make the name of a journal of dead letters durable.
	JournalNotNamed = Mutant{"journal of dead letters without a directory sync", []Edit{{
		lettersSource + "journal.go", "\t\t\terr = j.fsys.SyncDir(j.dir)\n", "",
	}}}
	// LetterFileNotSynced takes files of letters for durable that are only written.
	LetterFileNotSynced = Mutant{"files of dead letters not synced", []Edit{{
		lettersSource + "filer.go", "\tif err := vfs.SyncGroup(l.fsys, files, dirs); err != nil {\n\t\treturn err\n\t}\n", "",
	}}}
	// OldLetterLeft does not make it durable that the file of a letter from before is removed.
	OldLetterLeft = Mutant{"what a letter was before comes back", []Edit{{
		lettersSource + "filer.go", "\t\tif err := l.fsys.SyncDir(dir); err != nil && !notExist(err) {\n", "\t\tif err := error(nil); err != nil && dir != \"\" {\n",
	}}}
	// ListedBeforeDurable has the index know letters of an earlier life before this one has made them
	// durable.
	ListedBeforeDurable = Mutant{"letters listed before they are durable", []Edit{{
		lettersSource + "recovery.go", "\tif err := c.fsys.Rename(c.tempName()", "\tif err := errors.Join(c.fsys.Rename(c.tempName(), journalName(c.path(journalDir), c.journal.number)), c.adopt(), c.index.sync(), c.fsys.Rename(journalName(c.path(journalDir), c.journal.number), c.tempName())); err != nil {\n\t\treturn err\n\t}\n\tif err := c.fsys.Rename(c.tempName()",
	}}}
	// LetterMadeAgain forgets which letters had their files.
	LetterMadeAgain = Mutant{"a letter that was removed is made again", []Edit{{
		lettersSource + "recovery.go", "\tunfiled := !at.before(c.marked)\n", "\tunfiled := true\n",
	}}}
	// MissingNotCounted forgets a letter whose file was removed.
	MissingNotCounted = Mutant{"a missing letter is not counted", []Edit{{
		lettersSource + "counts.go", "\t\treturn &count.Missing\n", "\t\treturn new(uint64)\n",
	}}}
	// LetterPerSync makes each letter of a group durable by itself.
	LetterPerSync = Mutant{"a sync for each letter", []Edit{{
		lettersSource + "journal.go", "\t\tif len(buffer) >= appendBytes && err == nil {\n\t\t\terr = write()\n",
		"\t\tif err == nil {\n\t\t\terr = errors.Join(write(), j.file.Sync())\n",
	}}}
	// LettersOpened looks into each letter to choose it.
	LettersOpened = Mutant{"letters opened to be chosen", []Edit{{
		lettersSource + "walk.go", "\tcase found.kind == rowGone,\n", "\tcase found.kind == rowLive && !w.readable(found), found.kind == rowGone,\n",
	}, {
		lettersSource + "walk.go", "func compareTokens(", "func (w *walk) readable(found *row) bool {\n\t_, _, err := w.Letters.load(found.letter)\n\treturn err == nil\n}\n\nfunc compareTokens(",
	}}}
	// LetterErrorIgnored dead-letters an event whose letter was not kept.
	LetterErrorIgnored = Mutant{"a letter that is not kept counts as dead", []Edit{{
		"internal/deliver/deadletter.go", "\t\t\trelease(item.Index)\n", "\t\t\t_ = item\n",
	}}}
	// RetryFsync believes the second try after a failed fsync.
	RetryFsync = Mutant{"retry a failed fsync", []Edit{{
		commitSource, syncOfGroup, "err := c.live.Sync()\n\tif err != nil {\n\t\terr = c.live.Sync()\n\t}\n\tif err != nil {\n\t\treturn fmt.Errorf(\"sync %s",
	}}}
	// SyncErrorIgnored acknowledges although the sync failed.
	SyncErrorIgnored = Mutant{"sync error ignored", []Edit{{
		commitSource, syncOfGroup, "if err := c.live.Sync(); err != nil && false {\n\t\treturn fmt.Errorf(\"sync %s",
	}}}
	// ProblemHidden refuses without saying so in its state.
	ProblemHidden = Mutant{"problem hidden", []Edit{{
		"internal/engine/seglog/log.go", "\t\tstats.Problem = l.appender.problem.Error()\n", "\t\tstats.Problem = \"\"\n",
	}}}
	// NotHealed never tries again after it could not begin a segment.
	NotHealed = Mutant{"not healed", []Edit{{
		appendSource, "case a.problem != nil && a.opts.Now().Before(a.tryAgainAt):", "case a.problem != nil:",
	}, {
		appendSource, "\t\ta.problem = nil\n", "",
	}}}
	// CutAtFirstBadFrame takes what it can't read for the end of the log.
	CutAtFirstBadFrame = Mutant{"cut at the first bad frame", []Edit{{
		"internal/engine/seglog/walk.go", "\t\t\tc, err = w.damaged()\n", "\t\t\treturn nil, errEnd\n",
	}}}
	// DamageNotReported counts what is lost and does not say where.
	DamageNotReported = Mutant{"damage not reported", []Edit{{
		"internal/engine/seglog/damage.go", "\tif len(d.found) < MaxDamageReports {", "\tif len(d.found) < 0 {",
	}}}
	// DamagedSegmentRemoved removes a damaged file like any other.
	DamagedSegmentRemoved = Mutant{"damaged segment removed", []Edit{{
		segmentsSource, "\tdamaged := old.damaged\n", "\tdamaged := false\n",
	}}}
	// AppendAfterENOSPC goes on behind a write that was cut short.
	AppendAfterENOSPC = Mutant{"append after ENOSPC", []Edit{
		{commitSource, "\tif _, err := c.live.WriteAt(frame, tail.end); err != nil {\n",
			"\tif n, err := c.live.WriteAt(frame, tail.end); err != nil {\n\t\ttail.end += alignUp(int64(n))\n"},
		{commitSource, "\t\terrs = append(errs, err)\n\t\tc.abandon(err)\n", "\t\terrs = append(errs, err)\n"},
	}}
	// NoUniqueKey stores an event again that is there.
	NoUniqueKey = Mutant{"no unique key in the store", []Edit{
		{"internal/engine/sqlite/writer.go", "\tattributes TEXT,\n\tPRIMARY KEY (timestamp, request_id)\n) WITHOUT ROWID;", "\tattributes TEXT\n);"},
		{"internal/engine/sqlite/insert.go", " +\n\t\t\" ON CONFLICT (timestamp, request_id) DO NOTHING\"", ""},
		{"internal/deliver/loop.go", "\tl.steer(ctx, report, to.Batch.MaxEvents)\n", "\tl.steer(ctx, report, to.Batch.MaxEvents)\n\ttime.Sleep(20 * time.Millisecond) // widens the gap\n"},
	}}
	// SettledBeforeWrite moves the cursor first and writes then.
	SettledBeforeWrite = Mutant{"cursor ahead of the write", []Edit{{
		"internal/deliver/loop.go", "\treport := l.step(ctx, deliveries, to, sink, probing)\n",
		`	report := Report{Outcomes: make([]pillarbox.Outcome, len(deliveries))}
	for i := range deliveries {
		report.Outcomes[i] = pillarbox.Outcome{Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeStored}
	}
	if err := l.settle(ctx, deliveries, report.Outcomes); err != nil {
		return false, err
	}
	time.Sleep(20 * time.Millisecond) // widens the gap
	if report = l.step(ctx, deliveries, to, sink, probing); report.Down == nil {
		return false, nil
	}
`,
	}}}
	// OutageBurnsAttempts charges the event for a destination that is down.
	OutageBurnsAttempts = Mutant{"outage burns attempts", []Edit{{
		stepSource, "\tcase isDown(err):\n\t\ts.report.Down = err\n",
		"\tcase isDown(err) && to-from == 1:\n\t\ts.charge(from, pillarbox.ClassUnavailable, err)\n\tcase isDown(err):\n\t\ts.report.Down = err\n",
	}}}
	// NeighboursRejected takes the refusal of a batch for the refusal of each of its events.
	NeighboursRejected = Mutant{"neighbours of a poison event rejected", []Edit{{
		stepSource, "\t\tmiddle := from + (to-from)/2\n\t\ts.write(from, middle)\n\t\ts.write(middle, to)\n",
		"\t\tfor i := from; i < to; i++ {\n\t\t\ts.refused(i, err)\n\t\t}\n",
	}}}
	// OneAttemptTooMany gives an event up one attempt late.
	OneAttemptTooMany = Mutant{"one attempt too many", []Edit{{
		"internal/retry/retry.go", "return attempts >= p.MaxAttempts", "return attempts > p.MaxAttempts",
	}}}
	// UnknownCountsAsReplayed takes a write without an answer for a success.
	UnknownCountsAsReplayed = Mutant{"unknown outcome counts as replayed", []Edit{{
		"internal/replay/replay.go", "\t\tcase errs[i] == nil:\n", "\t\tcase errs[i] == nil || down != nil:\n",
	}}}
	// WrongSink gives each loop the sink of the destination that comes first.
	WrongSink = Mutant{"a destination wired to the wrong sink", []Edit{{
		"internal/node/node.go", "n.newLoop(d, wired.sinks[d.Name])", "n.newLoop(d, wired.sinks[wired.table.All()[0].Name])",
	}}}
	// ReloadForgets leaves a destination at its old rules.
	ReloadForgets = Mutant{"a reload that forgets a destination", []Edit{{
		"internal/node/reload.go", "\t\t\tloop.SetDestination(d)\n", "\t\t\tif d != r.after.table.All()[0] {\n\t\t\t\tloop.SetDestination(d)\n\t\t\t}\n",
	}}}
	// SourceBeforeDestination lets a source that is new accept before its destinations know of it.
	SourceBeforeDestination = Mutant{"a new source before its destinations", []Edit{{
		"internal/node/reload.go", "\tif err := r.meet(ctx); err != nil {\n", "\tn.sources.Replace(sources)\n\tif err := r.meet(ctx); err != nil {\n",
	}}}
	// JudgedByOldRules looks at a batch with the rules that held when the wait for it began, and never
	// again.
	JudgedByOldRules = Mutant{"a batch judged by old rules", []Edit{
		{"internal/deliver/loop.go", "// turn delivers one batch.\n", "var stale sync.Map\n\n// turn delivers one batch.\n"},
		{"internal/deliver/loop.go", "\tprobing := l.breaker.State(now)", "\tstale.Store(l, to)\n\tprobing := l.breaker.State(now)"},
		{"internal/deliver/loop.go", "\tto, sink := l.current() // anew", "\tto, sink := l.current()\n\tif old, ok := stale.Load(l); ok {\n\t\tto = old.(*destination.Destination)\n\t} // anew"},
		{"internal/deliver/loop.go", "\tif !held || now == by {\n", "\tif !held || now == by || true {\n"},
	}}
	// ReviewedByOldRules looks at what is pending with the rules that held when the look began.
	ReviewedByOldRules = Mutant{"a review by old rules", []Edit{{
		"internal/node/obligations.go", "\treturn func(delivery *pillarbox.Delivery) bool {\n\t\td := n.table().Get(name)\n", "\td := n.table().Get(name)\n\treturn func(delivery *pillarbox.Delivery) bool {\n",
	}}}
	// JoinedWithoutRule leaves the first events of a new destination without a rule.
	JoinedWithoutRule = Mutant{"the first events without a rule", []Edit{{
		"internal/engine/seglog/obligations.go", "if len(c.state.rules) == 0 && c.joined > 0 {", "if len(c.state.rules) == 0 && c.joined > 1<<62 {",
	}}}
	// DrainSettlesNothing cuts off the batch at hand, and calls it drained.
	DrainSettlesNothing = Mutant{"a drain that settles nothing", []Edit{
		{"internal/node/start.go", "\t\tresult <- group.Run(n.stopping, ctx)\n",
			"\t\tctx, cancel := context.WithCancel(ctx)\n\t\tdefer cancel()\n\t\tcontext.AfterFunc(n.stopping, cancel)\n\t\t_ = group.Run(n.stopping, ctx)\n\t\tresult <- nil\n"},
		{"internal/deliver/loop.go", "l.opts.Queue.Settle(context.WithoutCancel(ctx), l.name, outcomes)", "l.opts.Queue.Settle(ctx, l.name, outcomes)"},
	}}
	// RefusalAcknowledged gives a receipt for what the log can't take.
	RefusalAcknowledged = Mutant{"receipt for what the log refuses", []Edit{{
		appendSource, "\tg, leads, err := a.join(events)\n\tif err != nil {\n\t\treturn err\n", "\tg, leads, err := a.join(events)\n\tif err != nil {\n\t\treturn nil\n",
	}}}
	// LengthTwiceTaken believes the last of several lengths.
	LengthTwiceTaken = Mutant{"a second Content-Length believed", []Edit{{
		headSource, "\tcase seen.lengths > 1:\n", "\tcase seen.lengths > 100:\n",
	}}}
	// BothLengthsTaken believes Transfer-Encoding where there is a Content-Length too.
	BothLengthsTaken = Mutant{"Content-Length beside Transfer-Encoding", []Edit{{
		headSource, "\tcase seen.lengths > 0 && seen.codings > 0:\n", "\tcase seen.lengths > 100:\n",
	}}}
	// SpaceBeforeColonTaken reads a name with a space behind it.
	SpaceBeforeColonTaken = Mutant{"space before a colon", []Edit{{
		headSource, "name, value := line[:colon], line[colon+1:]\n", "name, value := bytes.TrimRight(line[:colon], \" \"), line[colon+1:]\n",
	}}}
	// BareLineFeedInChunk takes a size that a bare LF ends.
	BareLineFeedInChunk = Mutant{"bare LF in the framing of chunks", []Edit{{
		"internal/framing/filter.go", "\tcase end == 0 || b[end-1] != '\\r':\n\t\treturn 0, errLineEnd\n",
		"\tcase end == 0 || b[end-1] != '\\r':\n\t\treturn end + 1, judge(b[:end])\n",
	}}}
	// TrailerNotChecked lets anything stand behind the last chunk.
	TrailerNotChecked = Mutant{"trailers not checked", []Edit{{
		"internal/framing/filter.go", "\tif !ok {\n\t\treturn errTrailer\n", "\tif !ok {\n\t\treturn nil\n",
	}}}
	// SecondRequestNotFiltered looks at the first request of a connection alone.
	SecondRequestNotFiltered = Mutant{"later requests not filtered", []Edit{{
		"internal/framing/filter.go", "\tif _, err := f.head.Read(b); err != nil {\n", "\tif _, err := f.head.Read(b); err != nil && f.heads == 0 {\n",
	}}}
	// HeadParsedForEachLine reads a head anew whenever a part of it comes.
	HeadParsedForEachLine = Mutant{"head parsed for each line", []Edit{{
		"internal/express/take_linux.go", "\tif c.scan.Begun() && c.need == 0 && !l.scan(c, b) {\n", "\tif false {\n",
	}}}
	// WrittenIsIdle forgets that an answer was given in the turn in which the last of it could be
	// written.
	WrittenIsIdle = Mutant{"idle without the time for the next request", []Edit{{
		"internal/express/state_linux.go", "eventWritten: stateAnswering,", "eventWritten: stateIdle,",
	}}}
	// EmptyLineGivesTime lets a client hold a connection for ever with an empty line now and then.
	EmptyLineGivesTime = Mutant{"an empty line gives new time", []Edit{{
		"internal/express/serve_linux.go", "if before == stateAnswering {", "if before >= stateFresh {",
	}}}
	// ReservedReceivesSpent lets SQS move what an outage has received too often to the queue of dead
	// letters.
	ReservedReceivesSpent = Mutant{"no receives in reserve", []Edit{{
		"internal/sqsrules/rules.go", "r.Receives >= max(2, limits.MaxReceives-ReceivesInReserve)", "r.Receives > limits.MaxReceives",
	}}}
	// LostBodyTakenForEmpty leaves nothing in the place of a body that is gone.
	LostBodyTakenForEmpty = Mutant{"a lost body taken for an empty one", []Edit{{
		"internal/sqsrules/rules.go", "r.Message.Claim, r.Message.Event.Body = nil, text\n", "r.Message.Claim, _ = nil, text\n",
	}}}
	// ClientPartsTrace lets a message go on with the trace that a client has sent.
	ClientPartsTrace = Mutant{"a client's trace taken for our own", []Edit{{
		"internal/engine/sqs/encode.go", "if q.options.Trace != nil {", "if q.options.Trace != nil && event == nil {",
	}}}
	// CallBesideWork hangs calls below Lambda's segment.
	CallBesideWork = Mutant{"calls beside the work that makes them", []Edit{{
		"internal/xray/calls.go", "i.TraceID, i.ID)", "i.TraceID, i.ParentID)",
	}}}
	// LateArenaReused reads new requests into what a turn that is stuck still has.
	LateArenaReused = Mutant{"memory of a late turn used again", []Edit{{
		"internal/express/late_linux.go", "l.arena, l.requests, l.fields = arena{}, nil, nil\n", "l.requests, l.fields = nil, nil\n",
	}}}
	// LateBufferReused does so with the buffers of connections.
	LateBufferReused = Mutant{"buffer of a late request used again", []Edit{{
		"internal/express/late_linux.go", "\tfor _, c := range l.inTurn {\n\t\tl.abandonBuffer(c)\n\t}\n", "",
	}}}
	// LateToldAsRefusal says that nothing is stored of what may be.
	LateToldAsRefusal = Mutant{"late commit told as a refusal", []Edit{{
		"internal/engine/seglog/late.go", "\t\tunknown.err = a.unknownError()\n", "\t\tunknown.err = refusal\n",
	}}}
	// LateNotShown accepts nothing, and says that all is well.
	LateNotShown = Mutant{"hanging disk not shown", []Edit{{
		"internal/engine/seglog/log.go", "\tcase l.appender.lateSince > 0:\n\t\tstats.Hanging", "\tcase l.appender.lateSince < 0:\n\t\tstats.Hanging",
	}}}
	// LateWritesPileUp begins another write while one hangs.
	LateWritesPileUp = Mutant{"writes beside one that hangs", []Edit{{
		"internal/deliver/guard.go", "if since := g.Hanging(); since > 0 {", "if since := g.Hanging(); since < 0 {",
	}}}
	// CursorAhead counts an event as delivered when it is leased.
	CursorAhead = Mutant{"cursor ahead of delivery", []Edit{{
		settleSource, "if kind == 0 && front.lost == 0 || s.freed[front.seq] {", "if kind == 0 && front.lost == 0 && !front.leased {",
	}}}
)
