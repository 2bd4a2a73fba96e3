package harness

// The planted bugs of searches.
var (
	// NumbersAsFloats compares numbers by their value.
	NumbersAsFloats = Mutant{"a number goes through a float", []Edit{{
		"internal/search/search.go", "\treturn value.Raw == wanted //", "\treturn value.String() == wanted //",
	}}}
	// FirstOfAName looks at one member of each name.
	FirstOfAName = Mutant{"the last of several members counts", []Edit{{
		"internal/search/search.go", "found = found || equals", "found = equals",
	}}}
	// ScanForEver looks at all events that there are.
	ScanForEver = Mutant{"a search has no bound", []Edit{{
		"internal/search/search.go", "return s.Max > 0 && s.looked >= s.Max", "return s.Max < 0 && s.looked >= s.Max",
	}}}
	// GapAtTheBound goes on behind an event that nobody has looked at.
	GapAtTheBound = Mutant{"a list goes on one event too late", []Edit{{
		"internal/engine/sqlite/search.go", "Last: rows[0]}", "Last: rows[1]}",
	}}}
	// EndsUntold takes the bound for the end of the table.
	EndsUntold = Mutant{"the bound is taken for the end", []Edit{{
		"internal/engine/sqlite/query.go", "if err == nil && selected.bounded() &&", "if err != nil && selected.bounded() &&",
	}}}
	// EscapesUnseen leaves out bodies that write a value in another way.
	EscapesUnseen = Mutant{"JSON with escapes is not looked at", []Edit{{
		"internal/engine/sqlite/search.go", "s.other(\"(\"+inBody+\" OR \"+inBody+\")\", v.Value, `\\`)", "s.other(inBody, v.Value)",
	}}}
)
