package harness

// The planted bugs of webhooks.
var (
	// PrivateConnected looks at names in the configuration alone.
	PrivateConnected = Mutant{"what a name leads to is not looked at", []Edit{{
		"internal/engine/webhook/address.go", "\t\td.ControlContext = refusePrivate\n", "\t\t_ = refusePrivate\n",
	}}}
	// MappedIsPublic takes IPv4 in IPv6 for what it looks like.
	MappedIsPublic = Mutant{"IPv4 in IPv6 is not what it reaches", []Edit{{
		"internal/engine/webhook/address.go", "\tif nat64.Contains(addr) {\n", "\tif nat64.Contains(addr) {\n\t\treturn true\n\t}\n\tif nat64.Contains(addr) {\n",
	}}}
	// RedirectIsSuccess takes any answer without an error for a promise.
	RedirectIsSuccess = Mutant{"a redirect is a success", []Edit{{
		"internal/engine/webhook/answer.go", "\tcase status >= 200 && status < 300:\n", "\tcase status >= 200 && status < 400:\n",
	}}}
	// BlamedInAnOutage lays the last failures of a Write to their events.
	BlamedInAnOutage = Mutant{"nobody looks whether the receiver is still there", []Edit{{
		"internal/engine/webhook/round.go", "\tif latest <= end && !r.storesAgain(control) {\n", "\tif control < 0 {\n",
	}}}
	// NeverBlamed lets an event come again for ever that breaks its receiver.
	NeverBlamed = Mutant{"an event that breaks its receiver is an outage", []Edit{{
		"internal/engine/webhook/round.go", "\tr.blame()\n", "",
	}}}
	// AskedAgainAtOnce forgets that the receiver has asked to be left alone.
	AskedAgainAtOnce = Mutant{"Retry-After is forgotten", []Edit{{
		"internal/engine/webhook/sink.go", "\tif wait <= 0 {\n", "\tif wait < 1<<62 {\n",
	}}}
	// AnotherIDEachTime names a try and not an event.
	AnotherIDEachTime = Mutant{"each try has an id of its own", []Edit{{
		"internal/engine/webhook/message.go", "fmt.Fprintf(digest, \"%s %s\\n\", event.Timestamp, event.RequestID)", "fmt.Fprintf(digest, \"%s %s %p\\n\", event.Timestamp, event.RequestID, &body)",
	}}}
	// GoneIsAnOutage asks a receiver for ever that wants no more events.
	GoneIsAnOutage = Mutant{"410 pauses nothing", []Edit{{
		"internal/deliver/loop.go", "\tl.pauseIfGone(ctx, report)\n", "",
	}}}
)
