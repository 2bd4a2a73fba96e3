package harness

const redactSource = "internal/source/redact.go"

// The planted bugs of values that are not kept as they came.
var (
	// FirstMemberRedacted leaves the second of two members with one name as it is, which many parsers
	// take.
	FirstMemberRedacted = Mutant{"the first of two members is redacted", []Edit{{
		"internal/jsontext/jsontext.go", "\t\t\t\tvisit(members[i].value)\n", "\t\t\t\tvisit(members[i].value)\n\t\t\t\treturn\n",
	}}}
	// UnreadKept keeps a body that nobody can look into.
	UnreadKept = Mutant{"what is no JSON is kept", []Edit{{
		redactSource, "\t\treturn nil, errNoJSON\n", "\t\treturn body, nil\n",
	}}}
	// DigestBelieved takes the client's word for what is a digest.
	DigestBelieved = Mutant{"a digest is what says so", []Edit{{
		redactSource, "return found && err == nil && len(digest) == 2*sha256.Size", "return found || err == nil && len(digest) > 1000",
	}}}
	// NotesForgotten does not say of a batch's items what is not kept of its header.
	NotesForgotten = Mutant{"the second event does not say what is not kept", []Edit{{
		"internal/ingest/scratch.go", "\t\tremoved.Add(&s.removed)\n\t\treturn s.keeps\n", "\t\treturn s.keeps\n",
	}}}
)
