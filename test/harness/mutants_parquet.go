package harness

// The planted bugs of the Parquet destination.
var (
	// CutForgotten writes a batch that is cut anew without asking what is stored of it.
	CutForgotten = Mutant{"a cut forgotten: the files of the manifest are not asked", []Edit{{
		"internal/engine/parquet/read.go", "\t\tfor _, e := range inHour(files, hour) {\n", "\t\tfor _, e := range inHour(files, hour)[:0] {\n",
	}}}
	// WrittenAgain writes what comes again although it is there.
	WrittenAgain = Mutant{"what comes again is written again", []Edit{{
		"internal/engine/parquet/write.go", "\t\t} else if !there[i] {\n", "\t\t} else if !there[i] || len(there) > 0 {\n",
	}}}
	// ManifestBeforeFile counts a file that is not on the disk yet.
	ManifestBeforeFile = Mutant{"the manifest before the file is durable", []Edit{{
		"internal/engine/parquet/file.go", "\t\terr = w.to.file.Sync()\n", "\t\terr = nil\n",
	}}}
	// ManifestBeforeName counts a file whose name is not on the disk yet.
	ManifestBeforeName = Mutant{"the manifest before the names are durable", []Edit{{
		"internal/engine/parquet/rewrite.go", "\t\tdirs[f.partition()] = true\n", "",
	}}}
	// OldFilesBeforeManifest removes what a compaction replaces before anybody knows what replaces it.
	OldFilesBeforeManifest = Mutant{"old files deleted before the manifest", []Edit{{
		"internal/engine/parquet/rewrite.go", "\treturn s.publish(ctx, nil, func(next *manifest) {\n",
		"\tfor _, e := range inputs {\n\t\t_ = v.fsys.Remove(e.Path)\n\t}\n\treturn s.publish(ctx, nil, func(next *manifest) {\n",
	}}}
	// IntentForgotten leaves what was begun in the way of those who read all files.
	IntentForgotten = Mutant{"the intent is not read at the start", []Edit{{
		"internal/engine/parquet/intents.go", "\t\tif !named && !kept && !s.building[name] {\n", "\t\tif !named && !kept && len(name) == 0 {\n",
	}}}
	// BothCounted counts what a compaction has replaced, too.
	BothCounted = Mutant{"what is replaced counts too", []Edit{{
		"internal/engine/parquet/manifest.go", "\tm.Removed = append(m.Removed, e.Path)\n", "",
	}}}
	// WrittenOverOthers replaces the manifest of a bucket without asking whose it is.
	WrittenOverOthers = Mutant{"a manifest that is replaced without If-Match", []Edit{{
		"internal/engine/s3/file.go", "\t\tin.IfMatch = &known\n", "",
	}}}
	// OwnTakenForOthers takes what an earlier try of the same call has put for another writer.
	OwnTakenForOthers = Mutant{"a lost answer is taken for another writer", []Edit{{
		"internal/engine/parquet/bucket.go", "\t\tif readErr == nil && bytes.Equal(there, text) {\n", "\t\tif readErr == nil && len(there) < 0 && bytes.Equal(there, text) {\n",
	}}}
	// TakenBack takes a bucket from the one that has opened it later.
	TakenBack = Mutant{"two writers take the bucket from each other", []Edit{{
		"internal/engine/parquet/recovery.go", "\t\tcase others && !first:\n", "\t\tcase others && !first && first:\n",
	}}}
	// UploadsForgotten leaves what was uploaded before the place was lost.
	UploadsForgotten = Mutant{"the uploads of who lost the bucket stay", []Edit{{
		"internal/engine/parquet/recovery.go", "\t\t\treturn nil, false, errors.Join(errTaken, s.leaveTo(v))\n", "\t\t\treturn nil, false, errTaken\n",
	}}}
	// RecoveredWhileBuilt lets a recovery remove what is about to be counted.
	RecoveredWhileBuilt = Mutant{"a recovery removes what is being put together", []Edit{{
		"internal/engine/parquet/intents.go", "\t\tif !named && !kept && !s.building[name] {\n", "\t\tif !named && !kept {\n",
	}}}
	// ClosedInTheDark closes a bucket without finding out what has become of the last change.
	ClosedInTheDark = Mutant{"a bucket is closed with an upload in the way", []Edit{{
		"internal/engine/parquet/store.go", "\tif s.disk.shared {\n\t\tif _, err := s.readyLocked(ctx)", "\tif s.disk.shared && s.view.Load() != nil {\n\t\tif _, err := s.readyLocked(ctx)",
	}}}
	// PurgeForgotten deletes events and remembers nothing of it.
	PurgeForgotten = Mutant{"a purge that is not written down", []Edit{{
		"internal/engine/parquet/rewrite.go", "\t\tif how.change != nil {\n", "\t\tif how.change != nil && len(inputs) == 0 {\n",
	}}}
	// PurgedKept leaves the files of purged events where they are.
	PurgedKept = Mutant{"purged events stay on the disk", []Edit{{
		"internal/engine/parquet/purge.go", "\ts.removePurged(ctx, inputs)\n", "",
	}}}
)
