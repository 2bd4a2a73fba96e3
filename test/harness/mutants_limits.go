package harness

const (
	limitSource   = "internal/source/limits.go"
	clientsSource = "internal/ratelimit/clients.go"
)

// The planted bugs of the limits of what may come in.
var (
	// NetworksAreAddresses gives each IPv6 address a rate of its own, of which anybody has 2^64.
	NetworksAreAddresses = Mutant{"each IPv6 address has a rate", []Edit{{
		limitSource, "const networkBits = 64", "const networkBits = 128",
	}}}
	// NewNamesAreNew gives whoever sends under a new name a full bucket.
	NewNamesAreNew = Mutant{"a new name has a full bucket", []Edit{{
		clientsSource, "\tfullest.id = id\n", "\tfullest.id, fullest.fullAt = id, 0\n",
	}}}
	// RefusedIsTaken takes what is refused by one limit from the others.
	RefusedIsTaken = Mutant{"what is refused is taken", []Edit{{
		limitSource, "for j := range i {", "for j := range 0 {",
	}}}
	// GuessingIsFree lets an address try as many credentials as it likes.
	GuessingIsFree = Mutant{"guessing is free", []Edit{{
		limitSource, "if s.limits == nil || !s.limits.addresses {", "if true {",
	}}}
)
