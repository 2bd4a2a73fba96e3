package harness

const (
	logKeysSource   = "internal/engine/seglog/keys.go"
	keyIndexSource  = "internal/keyindex/"
	keyRuleSource   = "internal/source/idempotency.go"
	ingestKeySource = "internal/ingest/keys.go"
)

// The planted bugs of idempotency keys.
var (
	// KeyNotInTheRecord keeps keys beside the records of their events: in the index alone.
	KeyNotInTheRecord = Mutant{"key beside the record", []Edit{{
		"internal/engine/seglog/record.go", "if !event.Idempotency.IsZero() {", "if false {",
	}}}
	// KeysNotReadAtTheStart forgets the keys that no file has yet.
	KeysNotReadAtTheStart = Mutant{"keys not read at the start", []Edit{{
		logKeysSource, "if found && err == nil {", "if found && err == nil && false {",
	}}}
	// KeysTrimmed removes a segment before its keys are elsewhere.
	KeysTrimmed = Mutant{"keys trimmed with their segment", []Edit{{
		"internal/engine/seglog/trim.go", " || !t.keys.cover(old) {", " {",
	}}}
	// KeyFileNotSynced gives a file of keys its name before it is durable.
	KeyFileNotSynced = Mutant{"keys written and not synced", []Edit{{
		keyIndexSource + "write.go", "\t\terr = w.file.Sync()\n", "\t\terr = nil\n",
	}}}
	// KeyFileNotNamed does not make that name durable.
	KeyFileNotNamed = Mutant{"name of a file of keys not synced", []Edit{{
		keyIndexSource + "write.go", "if err := w.fsys.SyncDir(path.Dir(r.name)); err != nil {",
		"if err := error(nil); err != nil {",
	}}}
	// MergeForgets drops the last of the files that are merged.
	MergeForgets = Mutant{"a merge forgets", []Edit{{
		keyIndexSource + "maintain.go", "if err := x.copyTo(w, cursors); err != nil {",
		"if err := x.copyTo(w, cursors[1:]); err != nil {",
	}}}
	// HashIsTheKey takes keys with one hash for one key.
	HashIsTheKey = Mutant{"the hash is taken for the key", []Edit{{
		keyIndexSource + "table.go", " && t.at(s.index()).key == *key {", " {",
	}}}
	// MismatchLate looks at the content after it has looked whether the key is in flight.
	MismatchLate = Mutant{"409 before 422", []Edit{{
		keyIndexSource + "index.go", "case f.fingerprint != c.Fingerprint:",
		"case f.fingerprint != c.Fingerprint && f.unknown:",
	}}}
	// PathNotCompared leaves the path out of the fingerprint.
	PathNotCompared = Mutant{"fingerprint without path", []Edit{{
		keyRuleSource, `sumOf(body, "content", method, path, query)`, `sumOf(body, "content", method, path[:0], query)`,
	}}}
	// KeysOfAllSources lets a source meet the keys of others.
	KeysOfAllSources = Mutant{"keys of all sources", []Edit{{
		keyRuleSource, `sumOf(nil, "key", scope, caller, key)`, `sumOf(nil, "key", scope[:0], caller, key)`,
	}}}
	// UnknownIsFree forgets the stamp of an append that may surface.
	UnknownIsFree = Mutant{"an unknown outcome frees the key", []Edit{{
		ingestKeySource, "\treturn pillarbox.KeyUnknown\n", "\treturn pillarbox.KeyFree\n",
	}}}
)
