// Package mutants_test plants bugs and sees that the harnesses find them: each bug must make its
// harness fail with the right words. A harness that a planted bug survives is no proof of anything.
package mutants_test

import (
	"cmp"
	"testing"

	"pillarbox/test/harness"
	"pillarbox/test/setting"
)

// hunt is one harness, as a test of a package, and the bugs that it must find.
type hunt struct {
	name  string // of the make target
	pkg   string
	run   string
	tries int // where it draws what it does from a seed; 0 for one
	env   []string
	bugs  []planted
}

type planted struct {
	harness.Mutant
	verdict string // what the harness must say of it, or one of several with a | between them
}

// lostFromLog is what is said of a log that has lost events: at the next start, or when they are
// counted.
const lostFromLog = "acknowledged event|the log holds only|the account does not balance"

// lostWithItsKey is what is said of a record that is gone: where its event was stored already, only
// its key is missed.
const lostWithItsKey = lostFromLog + "|the key of event"

var hunts = []hunt{
	{
		name: "crash-model", pkg: "internal/crashmodel", run: "^TestCrashModel$", tries: 3, env: []string{
			"PILLARBOX_TEST_CRASH_STATES=1000000"},
		bugs: []planted{
			{harness.GroupNotSynced, lostWithItsKey},
			{harness.AckBeforeSync, lostWithItsKey},
			{harness.NoDirSync, lostWithItsKey},
			{harness.TrimBeforeCursor, "world with seed"},
			{harness.CursorAhead, lostFromLog},
			{harness.AttemptNotSynced, "attempts, and"},
			{harness.HeldNotKept, lostFromLog + "|does not balance"},
			{harness.RoutedBeforeTaken, "on its way to another destination"},
			{harness.LetterNotSynced, "letter of event"},
			{harness.JournalNotNamed, "letter of event"},
			{harness.LetterFileNotSynced, "letter of event|list the dead letters|recovering again"},
			{harness.KeyNotInTheRecord, "the key of event"},
			{harness.KeysNotReadAtTheStart, "the key of event"},
			{harness.KeysTrimmed, "the key of event"},
			{harness.KeyFileNotSynced, "the key of event"},
			{harness.KeyFileNotNamed, "the key of event"},
			{harness.UnskippedInMemory, lostFromLog},
		},
	},
	{
		name: "keys", pkg: "internal/keyindex", run: "^Test(IndexIsTheLog|StatesOfAKey|KeysOfOneSlotAreToldApart)$",
		bugs: []planted{
			{harness.HashIsTheKey, "key 0 is"},
			{harness.MergeForgets, "event "},
			{harness.MismatchLate, "want state"},
		},
	},
	{
		name: "keys of requests", pkg: "internal/source", run: "^TestWhatIsTheSameRequest$",
		bugs: []planted{
			{harness.PathNotCompared, "another path"},
			{harness.KeysOfAllSources, "another source"},
		},
	},
	{
		name: "keys of accepting", pkg: "internal/ingest", run: "^TestKeysOfAppendsThatFail$",
		bugs: []planted{{harness.UnknownIsFree, "want the first id"}},
	},
	{
		name: "ioerr", pkg: "test/ioerr", run: "^TestEveryCallToTheDiskMayFail$",
		bugs: []planted{
			{harness.RetryFsync, "acknowledged event|taken for damage|stay pending"},
			{harness.AppendAfterENOSPC, "taken for damage"},
			{harness.SyncErrorIgnored, "acknowledged event|taken for damage|stay pending"},
			{harness.ProblemHidden, "shows no problem"},
			{harness.NotHealed, "nothing is accepted"},
		},
	},
	{
		name: "sim", pkg: "internal/sim", run: "^TestSim$", tries: 3, env: []string{"PILLARBOX_TEST_SIM_HOURS=20000"},
		bugs: []planted{
			{harness.RefusalAcknowledged, "is lost"},
			{harness.SettledBeforeWrite, "is lost|is held up"},
			{harness.OutageBurnsAttempts, "its destination takes it"},
			{harness.NeighboursRejected, "its destination takes it|has spent"},
			{harness.OneAttemptTooMany, "and the policy says"},
			{harness.AgeByTheWallClock, "has expired, and none waits"},
			{harness.UnknownCountsAsReplayed, "the event is not stored"},
			{harness.LetterErrorIgnored, "is lost|has no letter|letter"},
			{harness.WrongSink, "the wrong destination"},
			{harness.ReloadForgets, "and the policy says"},
			{harness.DrainSettlesNothing, "is not settled after a drain"},
		},
	},
	{
		name: "letters", pkg: "internal/engine/files",
		run: "^Test(PowerCut|EveryOperation|Group|Nothing|Removed).*$",
		bugs: []planted{
			{harness.LetterNotSynced, "want one of|after the power cut|is lost"},
			{harness.LetterFileNotSynced, "want one of|unexpected end|after the power cut"},
			{harness.OldLetterLeft, "files for|is there twice|want one of"},
			{harness.ListedBeforeDurable, "listed were|want one of"},
			{harness.LetterMadeAgain, "the letter is there|was made again"},
			{harness.MissingNotCounted, "count {"},
			{harness.LetterPerSync, "syncs for a group"},
			{harness.LettersOpened, "letters were opened"},
		},
	},
	{
		name: "start", pkg: "internal/engine/seglog", run: "^Test(WhatAStartBelievesStays|FailedSyncAtTheStartIsNotBelievedLater)$",
		bugs: []planted{
			{harness.EndBelieved, "are pending after the cut"},
			{harness.StateBelieved, "is lost"},
		},
	},
	{
		name: "framing", pkg: "internal/intake", run: "^TestRawRequests$/^(net|express_over_TCP|handed_over_over_TCP)$/^http_over_TCP$",
		bugs: []planted{
			{harness.LengthTwiceTaken, "stored"},
			{harness.BothLengthsTaken, "stored"},
			{harness.SpaceBeforeColonTaken, "stored"},
			{harness.BareLineFeedInChunk, "stored"},
			{harness.TrailerNotChecked, "stored"},
			{harness.SecondRequestNotFiltered, "stored|answers"},
		},
	},
	{
		name: "work", pkg: "internal/express", run: "^TestHeadsInPiecesCostAsMuchAsWholeOnes$",
		bugs: []planted{{harness.HeadParsedForEachLine, "bytes were looked at"}},
	},
	{
		name: "states", pkg: "internal/express", run: "^Test(Transitions.*|TimeOfAWait)$",
		bugs: []planted{
			{harness.WrittenIsIdle, "doc.go does not have this table"},
			{harness.EmptyLineGivesTime, "an empty line has given new time"},
		},
	},
	{
		name: "sqs engine", pkg: "internal/engine/sqs", run: "^Test(ReleasedNearTheEndIsSentAgain|BodyThatIsGone)$",
		bugs: []planted{
			{harness.ReservedReceivesSpent, "want a new message"},
			{harness.LostBodyTakenForEmpty, "its body is"},
		},
	},
	{
		name: "sqs functions", pkg: "internal/lambda", run: "^Test(WhatIsSentAgainIsWhatItWas|ClaimedBodiesAreRestored)$",
		bugs: []planted{
			{harness.ReservedReceivesSpent, "sent again"},
			{harness.LostBodyTakenForEmpty, "the letter is"},
		},
	},
	{
		name: "sqs traces", pkg: "internal/engine/sqs", run: "^TestSendersOwnTraceGoesOn$",
		bugs: []planted{{harness.ClientPartsTrace, "the trace is"}},
	},
	{
		name: "sqs calls", pkg: "internal/xray", run: "^TestCallsAreBelowTheInvocation$",
		bugs: []planted{{harness.CallBesideWork, "call 0 is"}},
	},
	{
		name: "late turn", pkg: "internal/express", run: "^TestLateAcceptor$",
		bugs: []planted{
			{harness.LateArenaReused, "stored|the stuck turn goes on"},
			{harness.LateBufferReused, "stored|the stuck turn goes on"},
		},
	},
	{
		name: "late commit", pkg: "internal/engine/seglog", run: "^TestHangingDisk$",
		bugs: []planted{
			{harness.LateToldAsRefusal, "want an outcome that is not known"},
			{harness.LateNotShown, "the queue says"},
		},
	},
	{
		name: "late write", pkg: "internal/deliver", run: "^TestHangingWrite$",
		bugs: []planted{{harness.LateWritesPileUp, "writes at a time|a replay meanwhile"}},
	},
	{
		name: "bitrot", pkg: "internal/engine/seglog", run: "^TestEveryFlippedBit$",
		bugs: []planted{
			{harness.CutAtFirstBadFrame, "events are lost"},
			{harness.DamageNotReported, "reported is"},
			{harness.DamagedSegmentRemoved, "not in quarantine"},
		},
	},
	{
		name: "files", pkg: "internal/engine/seglog", run: "^Test(UnreadablePageCostsItsEventsOnly|RemovedLiveSegmentLosesNothing|FullQueueSaysSo)$",
		bugs: []planted{
			{harness.UnreadIsRot, "after the disk can read again"},
			{harness.UnreadTrimmed, "after the disk can read again|came 0 times"},
			{harness.RemovedNotNoticed, "in the log of the next life|no such file"},
			{harness.FullDenied, "the state says"},
		},
	},
	{
		name: "lock", pkg: "internal/vfs", run: "^TestLockIsOnTheDirectory$",
		bugs: []planted{{harness.LockOnTheFile, "a second lock"}},
	},
	{
		name: "clock", pkg: "internal/clock", run: "^TestShortStepIsNotBelieved$",
		bugs: []planted{{harness.StepBelievedAtOnce, "now is"}},
	},
	{
		name: "store", pkg: "internal/engine/sqlite", run: "^TestReplacedStoreIsKnown$",
		bugs: []planted{{harness.MarkNotKept, "record"}},
	},
	{
		name: "rules", pkg: "internal/deliver", run: "^TestRulesDecideWhatBecomesOfAnEvent$",
		bugs: []planted{{harness.HeldSkipped, "became"}},
	},
	{
		name: "reload", pkg: "internal/node", run: "^TestReload(OpensTheWayLast|IsSeenByAWaitingLoop|IsSeenByAReview)$",
		bugs: []planted{
			{harness.SourceBeforeDestination, "before its destinations"},
			{harness.JudgedByOldRules, "held:"},
			{harness.ReviewedByOldRules, "held by rules that are no more"},
		},
	},
	{
		name: "joins", pkg: "internal/engine/seglog", run: "^TestKeepsTheContractOnADisk$",
		bugs: []planted{{harness.JoinedWithoutRule, "rule of event 1 of app: <nil>"}},
	},
	{
		name: "conflict", pkg: "internal/deliver", run: "^TestOneConflictHoldsUpNoOther$",
		bugs: []planted{{harness.ConflictGivesUpAll, "want 20 stored"}},
	},
	{
		name: "lines", pkg: "internal/telemetry", run: "^TestLinesNeverWait$",
		bugs: []planted{{harness.LinesNotCounted, "want 40"}},
	},
	{
		name: "admission", pkg: "internal/admission", run: "^TestLargeBodiesLeaveRoomForSmallOnes$",
		bugs: []planted{{harness.LargeBodiesTakeAll, "large bodies hold"}},
	},
	{
		name: "rates", pkg: "internal/source", run: "^Test(LimitsAreEachOnesOwn|GuessingCostsAnAddress|RefusedIsNotTaken)$",
		bugs: []planted{
			{harness.NetworksAreAddresses, "refused by"},
			{harness.RefusedIsTaken, "refused by"},
			{harness.GuessingIsFree, "the fourth try"},
		},
	},
	{
		name: "rates of many", pkg: "internal/ratelimit", run: "^Test.*$",
		bugs: []planted{{harness.NewNamesAreNew, "names got|its own bucket does not hold"}},
	},
	{
		name: "redaction", pkg: "internal/source", run: "^TestValuesIn.*$|^TestBodiesThat.*$",
		bugs: []planted{
			{harness.FirstMemberRedacted, "is kept as"},
			{harness.UnreadKept, "is kept as"},
			{harness.DigestBelieved, "kept ["},
		},
	},
	{
		name: "pauses", pkg: "internal/engine/seglog", run: "^TestAPauseOutlivesTheProcess$",
		bugs: []planted{
			{harness.PauseInMemory, "the pause is"},
			{harness.PauseNotInSnapshots, "the pause is"},
		},
	},
	{
		name: "webhooks", pkg: "internal/engine/webhook",
		run: "^Test(NamesThatLeadToPrivateAddressesAreRefused|WhichAddressesArePublic|WhatAnAnswerMeans|AnOutageBlamesNobody|AnEventThatBreaksTheReceiverIsToBlame|RetryAfterIsHonoured|ABatchHasAnIDOfItsEvents)$",
		bugs: []planted{
			{harness.PrivateConnected, "came through"},
			{harness.MappedIsPublic, "public true, want false"},
			{harness.RedirectIsSuccess, "stored, want outage"},
			{harness.BlamedInAnOutage, "is refused for now"},
			{harness.NeverBlamed, "is refused for now"},
			{harness.AskedAgainAtOnce, "asked again before"},
			{harness.AnotherIDEachTime, "ids "},
		},
	},
	{
		name: "receivers that are gone", pkg: "internal/deliver", run: "^TestADestinationThatIsGoneIsPaused$",
		bugs: []planted{{harness.GoneIsAnOutage, "asked "}},
	},
	{
		name: "parquet", pkg: "internal/engine/parquet", run: "^(TestPowerCutAtAnyMoment|TestPurgedIsGoneAtOnce)$",
		bugs: []planted{
			{harness.CutForgotten, "twice"},
			{harness.ManifestBeforeFile, "magic|is not in|reading parquet file"},
			{harness.ManifestBeforeName, "no such file|is not in"},
			{harness.OldFilesBeforeManifest, "no such file|is not in"},
			{harness.IntentForgotten, "twice|in all files"},
			{harness.BothCounted, "twice|no such file|count|it is gone"},
			{harness.PurgeForgotten, "are remembered as purged|are purged, and"},
			{harness.PurgedKept, "files are left"},
		},
	},
	{
		name: "parquet in a bucket", pkg: "internal/engine/parquet",
		run: "^(TestTwoWritersAtOnce|TestTheLastWriterHasTheBucket|TestALostAnswerIsNoOtherWriter|TestCloseWhileFilesArePutTogether|TestEveryCallToABucketMayFail)$",
		bugs: []planted{
			{harness.WrittenOverOthers, "is not in|no such|does not exist|goes on|write of the first"},
			{harness.OwnTakenForOthers, "somebody else has changed it"},
			{harness.TakenBack, "write of the first"},
			{harness.UploadsForgotten, "twice"},
			{harness.RecoveredWhileBuilt, "does not exist"},
			{harness.ClosedInTheDark, "twice|not given back"},
		},
	},
	{
		name: "pauses of a loop", pkg: "internal/deliver", run: "^TestPausedDeliversNothing$",
		bugs: []planted{{harness.LeasedInAPause, "account"}},
	},
	{
		name: "search", pkg: "internal/engine/memory", run: "^TestSinkKeepsItsContract$/^Search",
		bugs: []planted{
			{harness.NumbersAsFloats, "found \"plain, charset\", want \"plain\"|want \"charset\""},
			{harness.FirstOfAName, "want \"duplicate\""},
			{harness.ScanForEver, "ends at 50"},
		},
	},
	{
		name: "search of SQLite", pkg: "internal/engine/sqlite", run: "^TestStoreKeepsItsContract$/^Search",
		bugs: []planted{
			{harness.GapAtTheBound, "events, want 3|event 0"},
			{harness.EndsUntold, "events, want 3|ends at 50"},
			{harness.EscapesUnseen, "want \"plain, escapes\"|want \"escapes\""},
		},
	},
	{
		name: "alerts", pkg: "internal/alert", run: "^Test",
		bugs: []planted{
			{harness.EndUntold, "was told"},
			{harness.NeverRepeated, "was told"},
			{harness.QuietSwallows, "was told"},
			{harness.QuietInUTC, "was told"},
			{harness.DeadBlocksAll, "was told"},
			{harness.AlertsNotSynced, "was told"},
			{harness.TellingNotKept, "was told"},
			{harness.StartEndsAlerts, "was told"},
			{harness.HourForgotten, "was told"},
			{harness.FlapsAreEnds, "was told"},
			{harness.DiskHoldsMessages, "was told"},
			{harness.EveryoneIsToldAll, "was told"},
			{harness.DamageIsFatal, "nothing is said of the state"},
			{harness.BeatsBlindly, "while nothing is looked at"},
			{harness.ThresholdDrifts, "alerts of PillarboxBacklogOld"},
		},
	},
	{
		name: "alerts at receivers", pkg: "internal/alert/receiver", run: "^Test",
		bugs: []planted{
			{harness.SlackReadsLinks, "Slack is told"},
			{harness.IncidentStaysOpen, "the events are"},
			{harness.MailInTheClear, "authority"},
			{harness.ControlsInTexts, "is not one line"},
		},
	},
	{
		name: "history", pkg: "internal/rollup", run: "^Test",
		bugs: []planted{
			{harness.CountedAgain, "accepted by the minute"},
			{harness.MinuteNotSynced, "are kept, want"},
			{harness.HistoryNotNamed, "are kept, want"},
			{harness.WrittenTwice, "accepted by the minute"},
			{harness.TornIsGood, "are kept, want|is called damage"},
			{harness.HoursForgotten, "accepted by the hour|hours have"},
		},
	},
	{
		name: "canary", pkg: "internal/deliver", run: "Canary",
		bugs: []planted{
			{harness.CanaryStays, "events of the canary are in the destination"},
			{harness.CanaryNotRead, "is not there"},
			{harness.CanaryOfBeforeForgotten, "it may be there, and is not given up yet"},
			{harness.CanaryOpensTheBreaker, "status "},
		},
	},
	{name: "canary in the account", pkg: ".", run: "TheCanary", bugs: []planted{{harness.CanaryCounted, "taken out"}}},
	{
		name: "canary at the door", pkg: "internal/source", run: "Canary",
		bugs: []planted{{harness.CanaryReplayed, "a signature opens twice"}, {harness.CanaryForged, "opens: "}},
	},
	{
		name: "canary on a schedule", pkg: "internal/canary", run: "^Test",
		bugs: []planted{
			{harness.CanariesPileUp, "canaries in a day of an outage"},
			{harness.CanaryEarlyForgotten, "still wait for what was told"},
		},
	},
	{
		name: "canary on a page", pkg: "internal/node", run: "^TestAPageHasNoCanaryAndIsFull$",
		bugs: []planted{{harness.CanaryListed, "a page has an event of the canary"}, {harness.PageCutShort, "events, want"}},
	},
	{
		name: "canary in a shared queue", pkg: "internal/engine/sqs", run: "/counts_what_is_skipped",
		bugs: []planted{{harness.SkipsOfNoRule, "want it skipped by"}},
	},
	{
		name: "canary in the log", pkg: "internal/engine/seglog", run: "^TestKeepsTheContractInMemory$",
		bugs: []planted{{harness.CanaryTakenForStored, "it is traced as"}},
	},
	{
		name: "filters", pkg: "internal/destination", run: "^TestDecisions$",
		bugs: []planted{{harness.FilterLoses, "can't_tell"}, {harness.FilterOfToday, "not_meant_then"}},
	},
	{
		name: "filters of the log", pkg: "internal/engine/seglog", run: "^TestKeepsTheContractInMemory$",
		bugs: []planted{
			{harness.FilteredForgotten, "standings"},
			{harness.RoutedAsHad, "is not routed|account of archive"},
			{harness.UnskippedTwice, "account of late"},
			{harness.FreedPassed, "handed out, and no more"},
		},
	},
	{
		name: "filters of a loop", pkg: "internal/deliver", run: "^Test(SkippedIsNotWaitedFor|ShapedIsWhatIsWritten)$",
		bugs: []planted{{harness.SkipCompletesNothing, "somebody still waits"}, {harness.OriginalWritten, "the original"}},
	},
	{
		name: "jobs", pkg: "internal/background", run: "^Test(JobsOutliveTheProcess|PowerCutsLoseNoJob)$",
		bugs: []planted{{harness.JobOfThisLife, "not found"}, {harness.CutOffIsCancelled, "the next life finds"}},
	},
	{
		name: "jobs that back-fill", pkg: "internal/backfill", run: "^TestBackfillGoesOnInTheNextLife$",
		bugs: []planted{{harness.JobStartsAnew, "ended as"}},
	},
	{
		name: "jobs that copy", pkg: "internal/backfill", run: "^Test(ACopy|WhatTheQueueHasForgotten)",
		bugs: []planted{
			{harness.CopiedUncounted, "account"}, {harness.CopiedUnannounced, "account"}, {harness.CopiedAgain, "counted again"},
		},
	},
	{
		name: "jobs that copy, in the log", pkg: "internal/engine/seglog", run: "^Test(WhatIsForgottenIsCountedOnce|KeepsTheContractInMemory)$",
		bugs: []planted{{harness.CopiedKept, "were counted"}},
	},
	{
		name: "jobs that replay", pkg: "internal/replay", run: "^TestReplayGoesOnInTheNextLife$",
		bugs: []planted{{harness.ReplayStartsAnew, "ended as|writes for"}},
	},
	{
		name: "encryption", pkg: "internal/atrest",
		run: "^Test(NoNonceIsUsedTwice|BoxOpensForItsPurposeAlone|DataKeyIsDurableBeforeItSeals|RotationOfTheKeyIsRewrapping)$",
		bugs: []planted{
			{harness.NonceRepeated, "is used twice"},
			{harness.SealerNotDrawn, "is used twice"},
			{harness.AnyPurpose, "opened as a letter"},
			{harness.DataKeyNotKept, "is not at hand"},
			{harness.RewrappedInMemory, "is wrapped by first"},
		},
	},
	{
		name: "encryption of the log", pkg: "internal/engine/seglog",
		run: "^Test(EventsWaitForTheirDataKey|NothingIsInTheClear)$",
		bugs: []planted{
			{harness.AbsentKeyIsDamage, "account"},
			{harness.StateInTheClear, "in the clear"},
		},
	},
	{
		name: "quarantine", pkg: "internal/quarantine", run: "^Test(PowerCuts|SealsAreOfOneRequest)$",
		bugs: []planted{
			{harness.QuarantineForgets, "acknowledged request|, after"},
			{harness.RemovalNotSynced, "is there"},
			{harness.SealOfAny, "with another source"},
		},
	},
	{
		name: "quarantine releases", pkg: "internal/node", run: "^Test(OnlySuspectsAreInQuarantine|AReleaseIsOneMove)$",
		bugs: []planted{
			{harness.ReleasedUnverified, "with the first secret"},
			{harness.ReleasedTwice, "accepted are"},
			{harness.BatchesKeptApart, "a batch"},
		},
	},
	{
		name: "redaction of batches", pkg: "internal/ingest", run: "^TestWhatIsNotKeptIsSaidOfEachItem$",
		bugs: []planted{{harness.NotesForgotten, "said of item 1"}},
	},
	{
		name: "doors", pkg: "internal/intake", run: "^Test(Doors|ASignatureCoversAWholeBatch)$",
		bugs: []planted{
			{harness.BatchNotVerified, "want 401"},
			{harness.AskedBeforeVerified, "an unsigned PING"},
			{harness.HandshakeStored, "a challenge"},
			{harness.SignatureTold, "the answer is"},
			{harness.TokenKept, "X-Gitlab-Token is kept: true"},
		},
	},
	{
		name: "auth", pkg: "internal/intake",
		run: "^Test(Doors|BatchesAreAskedWhoComes|NoRouteIsWithoutARule|CallersHaveIdempotencyKeysOfTheirOwn)$",
		bugs: []planted{
			{harness.RevokedKeyTaken, "a key that was revoked"},
			{harness.ExpiryIgnored, "a key that has expired"},
			{harness.KeyScopeIgnored, "a key of another source"},
			{harness.BatchesOpen, "a batch is answered with 202"},
			{harness.OtherMethodsOpen, "to somebody without a credential"},
			{harness.AllowedThoughDenied, "address, allowed and denied"},
			{harness.LastCredentialTaken, "auth, two lines"},
			{harness.CallerForgotten, "events are stored, want 2"},
			{harness.AnyAlgorithm, "an algorithm that is not allowed"},
			{harness.AnyAudience, "token, another audience"},
		},
	},
	{
		name: "function", pkg: "internal/lambda",
		run: "^Test(PathBehindWhateverStandsInFrontOfIt|FaultOfOursIsNeverThe2xxOrThe4xxOfAClient|SlowQueueIsAnsweredFor|WhatIsTakenOverCountsForTheSameRequest)$",
		bugs: []planted{
			{harness.DeadlineForgotten, "answered after|panic|blocked"},
			{harness.QueueFaultOfTheClient, "answered with"},
			{harness.RefreshTooLate, "want 202"},
			{harness.RootTakesAll, "for the source at"},
		},
	},
	{
		name: "function-keys", pkg: "internal/intake", run: "^TestARepeatedRequestGetsTheFirstReceipt$",
		bugs: []planted{{harness.KeysAreFaults, "status 500, want 422"}},
	},
	{
		name: "door", pkg: "internal/lambda/door", run: "^Test",
		bugs: []planted{
			{harness.OpenWithoutSecrets, "the source is there"},
			{harness.KeysNeverAgain, "is not in force|does not open"},
			{harness.KeysAwayOpen, "refreshed: <nil>|nil pointer"},
			{harness.DamagedKeysCount, "a damaged file ends keys"},
			{harness.ClockHoldsUpRefresh, "holds up the next call"},
			{harness.FunctionConfigured, "log.level|a window of 2h"},
		},
	},
	{
		name: "aws", pkg: "internal/sourceconfig", run: "^TestWhatHasNoEffectOnAWSIsRefused$",
		bugs: []planted{
			{harness.RatesOfOneProcess, "sources.app.rate"},
			{harness.CertificatesOnAWS, "client_cert"},
		},
	},
	{
		name: "tokens", pkg: "internal/jwt", run: "^Test(TokensAreWhatTheySay|ARememberedTokenEndsInTime)$",
		bugs: []planted{
			{harness.RememberedForEver, "want \"expired\""},
			{harness.RememberedBeyondItsKey, "want \"undecided\""},
		},
	},
	{
		name: "events", pkg: "internal/intake", run: "^Test(Doors|BatchesOfCloudEvents)$",
		bugs: []planted{
			{harness.BrokenEventsTaken, "binary, no type"},
			{harness.EventNotDecoded, "binary, percent-encoded"},
			{harness.ItemsNotAsked, "one is none where it must be"},
		},
	},
	{
		name: "paths", pkg: "internal/source", run: "^TestTheMostExactPathIsTaken$",
		bugs: []planted{{harness.LooseFirst, "leads to"}},
	},
	{
		name: "pages", pkg: "internal/intake", run: "^Test(Doors|ABodyIsAskedForOnceItMayComeIn)$",
		bugs: []planted{
			{harness.TenantNotDecoded, "/t/a%20b/hooks/"},
			{harness.EveryOrigin, "page, another one"},
			{harness.AskedBeforeAdmitted, "is answered with 100"},
		},
	},
	{
		name: "facts", pkg: "internal/engine/seglog", run: "^TestFactsAreInTheRecord$",
		bugs: []planted{{harness.FactsNotStored, "the record ends with"}},
	},
	{
		name: "proxies", pkg: "internal/proxy", run: "^TestAHeaderIsWalkedFromTheRight$",
		bugs: []planted{
			{harness.AnybodyTrusted, "want 192.0.2.9"},
			{harness.WalkedFromTheLeft, "want 192.0.2.1"},
		},
	},
	{
		name: "handshakes", pkg: "internal/opening", run: "^Test(HandshakesThatAreNotFinishedMakeRoom|APROXYHeaderIsOfATrustedProxy)$",
		bugs: []planted{
			{harness.NobodyMakesRoom, "a good client"},
			{harness.AnyoneWithPROXY, "is answered"},
		},
	},
	{
		name: "floods", pkg: "internal/opening", run: "^TestAFloodThatComputesMakesRoomItself$",
		bugs: []planted{{harness.FloodTakesOthers, "was taken"}},
	},
	{
		name: "deadlines", pkg: "internal/framing", run: "^TestTheLastDeadlineCounts$",
		bugs: []planted{{harness.EarlyEnd, "closed pipe|it was closed after"}},
	},
	{
		name: "certificates", pkg: "internal/certificate", run: "^TestFilesThatChangeAreTaken$",
		bugs: []planted{{harness.HalfAPair, "tls: |shown is"}},
	},
	{
		name: "listeners", pkg: "internal/intake", run: "^Test(ACertificateOpensASource|HTTP2IsAsStrict)$",
		bugs: []planted{
			{harness.AnyCertificate, "another name, /app: 202"},
			{harness.HostsOfHTTP2, "another host"},
		},
	},
	{
		name: "partings", pkg: "internal/express", run: "^Test(DrainAnswersNewcomers|RetiredServerAsksForNewConnections)$",
		bugs: []planted{
			{harness.NewcomersClosed, "EOF|reset|broken pipe"},
			{harness.NobodyTold, "does not say that it is the last"},
		},
	},
	{
		name: "signatures", pkg: "internal/signature", run: "^Test.*$",
		bugs: []planted{
			{harness.FutureBelieved, "want signature: too_new"},
			{harness.FirstLineTaken, "want signature: malformed"},
			{harness.BodyNotCovered, "is verified"},
		},
	},
	{
		name: "limits", pkg: "internal/intake", run: "^Test(WhatHasArrivedIsCharged|TheLongestIdleMakesRoom)$",
		bugs: []planted{
			{harness.ChargedAsAnnounced, "are charged"},
			{harness.YoungestMakesRoom, "want 202|timeout|the one that has rested"},
		},
	},
	{
		name: "bus: NATS", pkg: "test/bus", run: "^TestNATS(StoresOnce|MakesAStreamWhereNoneIs|RefusesWhatIsTooLarge|RefusesWhatIsNoMessage|AnswersThatNeverCome)$",
		bugs: []planted{
			{harness.NATSNotAwaited, "without an answer: <nil>"},
			{harness.NATSAckOfAnother, "small: <nil>"},
			{harness.NATSWithoutHeaders, "in its header"},
			{harness.NATSBlocked, "that is no message"},
			{harness.NATSOutageRefuses, "without a stream"},
		},
	},
	{
		name: "bus: Kafka", tries: 5, pkg: "test/bus", run: "^TestKafka(StoresEveryEvent|RefusesWhatIsNoRecord|RefusesSome|SortsErrors|AnswersThatNeverCome)$",
		bugs: []planted{
			{harness.KafkaNotAwaited, "without an answer: <nil>"},
			{harness.KafkaAckOfAnother, "is neither stored nor refused"},
			{harness.KafkaBlamesAnother, "is neither stored nor refused|is stored and refused"},
			{harness.KafkaWithoutHeaders, "is named"},
			{harness.KafkaBlocked, "that is no record"},
			{harness.KafkaOutageRefuses, "UNKNOWN_SERVER_ERROR"},
			{harness.KeyOfAnother, "is named"},
		},
	},
	{
		name: "traces: fronts", pkg: "internal/intake", run: "^Test(EventsNameTheSpan|WhatIsNotSampled|NobodyWhomNoSource)",
		bugs: []planted{
			{harness.SendersParentKept, "the event beneath"},
			{harness.EverythingIsSampled, "there are the spans"},
			{harness.RefusedRequestsRecorded, "there are the spans"},
		},
	},
	{
		name: "traces: deliveries", pkg: "internal/deliver", run: "^Test(ADeliveryIsInTheTrace|WhoIsSentAnEvent|ASpanSaysTheClass)",
		bugs: []planted{
			{harness.ForwardedAsAccepted, "the sink has got"},
			{harness.StoredAsDelivered, "the sink has got"},
			{harness.TextInSpans, "want refused|want permanent|want unavailable"},
			{harness.BatchWithoutLinks, "the batch links to"},
		},
	},
	{
		name: "traces: sending", pkg: "internal/telemetry/otlp", run: "^TestWhatHasNoRoom",
		bugs: []planted{{harness.SpansWithoutBound, "dropped"}},
	},
	{
		name: "traces: exemplars", pkg: "internal/telemetry/prom", run: "^TestARecordedRequest",
		bugs: []planted{{harness.ExemplarForgotten, "an exemplar is there: false"}},
	},
	{
		name: "traces: floods", pkg: "internal/telemetry", run: "^TestAFloodIsSummedUp$",
		bugs: []planted{{harness.FloodDropped, "the flood ends with"}},
	},
	{
		name: "traces: access log", pkg: "internal/intake", run: "^Test(EachAnswerIsALine|TheCombinedForm)",
		bugs: []planted{
			{harness.QueryInAccessLog, "the log is"},
			{harness.LinesNotEscaped, "the line is"},
		},
	},
	{
		name: "traces: jobs", pkg: "internal/node", run: "^TestWhatJobsDo",
		bugs: []planted{{harness.RefusedCountsAsStored, "job_events_total"}},
	},
}

// TestMutants runs every harness on every bug that it must find, or on those of one part of them:
// PILLARBOX_TEST_PART=K/N takes every Nth bug.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a test for each planted bug")
	}
	for _, h := range inPart(hunts, setting.PartOf(t, "PILLARBOX_TEST_PART")) {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel() // as many as there are processors: most of it is linking, which takes one
			for _, bug := range h.bugs {
				t.Run(bug.Name, func(t *testing.T) {
					t.Parallel()
					bug.MustFail(t, cmp.Or(h.tries, 1), h.pkg, h.run, bug.verdict, h.env...)
				})
			}
		})
	}
}

// inPart leaves the bugs that a part takes, and the hunts that still have some.
func inPart(hunts []hunt, part setting.Part) (left []hunt) {
	i := 0
	for _, h := range hunts {
		var bugs []planted
		for _, bug := range h.bugs {
			if part.Takes(i) {
				bugs = append(bugs, bug)
			}
			i++
		}
		if h.bugs = bugs; len(bugs) > 0 {
			left = append(left, h)
		}
	}
	return left
}

// TestPartsAreAll: every bug is in one part, and each part has its share of those of a long hunt.
func TestPartsAreAll(t *testing.T) {
	const parts = 3
	seen := map[string]int{}
	for k := range parts {
		for _, h := range inPart(hunts, setting.Part{K: k, N: parts}) {
			for _, bug := range h.bugs {
				seen[h.name+": "+bug.Name]++
			}
		}
	}
	for _, h := range hunts {
		for _, bug := range h.bugs {
			if n := seen[h.name+": "+bug.Name]; n != 1 {
				t.Errorf("%q of %s is in %d parts", bug.Name, h.name, n)
			}
		}
	}
}

// TestEveryBugHasItsPlace tells in a second which of them have not moved with the source; also of those
// that test/crash plants.
func TestEveryBugHasItsPlace(t *testing.T) {
	for _, bug := range every() {
		t.Run(bug.Name, bug.MustApply)
	}
}

// TestEveryBugCanBePlanted compiles all of them.
func TestEveryBugCanBePlanted(t *testing.T) {
	for _, bug := range every() {
		t.Run(bug.Name, func(t *testing.T) {
			t.Parallel()
			bug.MustBuild(t)
		})
	}
}

// every bug there is.
func every() []harness.Mutant {
	bugs := []harness.Mutant{
		harness.NoUniqueKey, harness.NothingSynced, harness.RefusalAcknowledged, harness.SettledBeforeWrite,
		harness.TrimBeforeStoreIsDurable, harness.AckBeforeSync, harness.NotHealed,
	}
	for _, h := range hunts {
		for _, bug := range h.bugs {
			bugs = append(bugs, bug.Mutant)
		}
	}
	return bugs
}
