package harness

const quarantineSource = "internal/quarantine/"

// The planted bugs of the quarantine.
var (
	// QuarantineForgets acknowledges a request that is not synced.
	QuarantineForgets = Mutant{"quarantine forgets", []Edit{{
		quarantineSource + "store.go", "\tif err := vfs.WriteFile(s.fsys, nameOf(id), text); err != nil {\n",
		"\tfile, err := vfs.Create(s.fsys, nameOf(id))\n\tif err != nil {\n\t\treturn err\n\t}\n\tif _, err := file.WriteAt(text, 0); err != nil {\n",
	}}}
	// RemovalNotSynced lets a request come back that was discarded.
	RemovalNotSynced = Mutant{"a discarded request comes back", []Edit{{
		quarantineSource + "decide.go", "\t\terr = s.fsys.SyncDir(Directory)\n", "\t\terr = nil\n",
	}}}
	// SealOfAny opens what is sealed beside any event.
	SealOfAny = Mutant{"seals are of any request", []Edit{{
		quarantineSource + "entry.go", "\treturn append(b, f.Reason...)\n", "\treturn b[:8]\n",
	}}}
	// ReleasedUnverified takes whatever a person wants to release for proven.
	ReleasedUnverified = Mutant{"released unverified", []Edit{{
		"internal/source/quarantine.go", "\tcase again.Forced:\n", "\tcase again.Forced || s.Signature != nil:\n",
	}}}
	// ReleasedTwice forgets that a release was begun before.
	ReleasedTwice = Mutant{"released twice", []Edit{{
		"internal/ingest/ingest.go", "if known.IsZero() && request.Timestamp != 0 {", "if known.IsZero() && request.Timestamp == 1 {",
	}}}
	// BatchesKeptApart keeps a batch as if it were one event.
	BatchesKeptApart = Mutant{"batches in quarantine", []Edit{{
		"internal/source/quarantine.go", "case s.hasRoom == nil, head.Batch:", "case s.hasRoom == nil:",
	}}}
)
