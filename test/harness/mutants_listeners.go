package harness

// Bugs of what stands before HTTP, and of who a request is from.
var (
	// AnybodyTrusted believes whoever comes what is said of a client.
	AnybodyTrusted = Mutant{"anybody is a trusted proxy", []Edit{{
		"internal/proxy/trusted.go", "\treturn err == nil && t.trusts(parsed)\n", "\treturn err == nil && parsed.IsValid()\n",
	}}}
	// WalkedFromTheLeft takes the address that the client has written itself.
	WalkedFromTheLeft = Mutant{"a header of proxies is read from the left", []Edit{{
		"internal/proxy/trusted.go", "\tat := strings.LastIndexByte(list, ',')\n\t\treturn list[:max(at, 0)], list[at+1:]\n",
		"\titem, rest, _ = strings.Cut(list, \",\")\n\t\treturn rest, item\n",
	}}}
	// AnyoneWithPROXY takes a PROXY header from whoever comes.
	AnyoneWithPROXY = Mutant{"a PROXY header is taken from anybody", []Edit{{
		"internal/opening/opener.go", "\tif !o.opts.Trusted.Trusts(from) {\n", "\tif from == \"\" {\n",
	}}}
	// HalfAPair puts a certificate in force without its key.
	HalfAPair = Mutant{"a certificate without its key is in force", []Edit{{
		"internal/certificate/store.go", "\t\treturn p.explain(cert, key, err)\n", "\t\tp.certificate = tls.Certificate{Leaf: p.certificate.Leaf}\n\t\treturn p.explain(cert, key, err)\n",
	}, {
		"internal/certificate/store.go", "\tif changed = s.lookAtCA() || changed; changed {\n", "\tif changed = s.lookAtCA() || changed; changed || true {\n",
	}}}
	// NobodyMakesRoom refuses handshakes where there is no place.
	NobodyMakesRoom = Mutant{"handshakes that never finish keep their places", []Edit{{
		"internal/opening/works.go", "len(w.open) >= w.max && !w.evictLocked(address)", "len(w.open) >= w.max",
	}}}
	// FloodTakesOthers has those make room whose client is waited for, whoever has the places.
	FloodTakesOthers = Mutant{"a flood of handshakes takes the places of others", []Edit{{
		"internal/opening/works.go", "largest != nil && (", "largest != nil && w.closed && (",
	}}}
	// EarlyEnd takes a deadline of an earlier request for that of this one.
	EarlyEnd = Mutant{"a deadline of an earlier request counts", []Edit{{
		"internal/framing/deadline.go", "if early && d.apply(due) == nil {", "if early && d.apply(due) != nil {",
	}}}
	// AnyCertificate lets every certificate of the authority in.
	AnyCertificate = Mutant{"every certificate opens a source", []Edit{{
		"internal/source/certificate.go", "\tif slices.Contains(r.Names, \"*\") {\n", "\tif len(r.Names) > 0 {\n",
	}}}
	// NewcomersClosed closes connections at a stop whose first request is on its way.
	NewcomersClosed = Mutant{"a stop closes who has just connected", []Edit{{
		"internal/express/serve_linux.go", "\t\tc.deadline = min(c.deadline, l.mono+int64(newcomerTime))\n", "\t\tc.advance(eventEnded)\n",
	}}}
	// NobodyTold stops without having told a client that its connection ends.
	NobodyTold = Mutant{"a stop tells nobody", []Edit{{
		"internal/express/answer_linux.go", "l.server.parting() {", "l.server.draining.Load() {",
	}}}
	// HostsOfHTTP2 takes a request with two hosts.
	HostsOfHTTP2 = Mutant{"HTTP/2 with two hosts", []Edit{{
		"internal/framing/http2.go", "\t\t\treturn errHosts\n", "\t\t\tcontinue\n",
	}}}
)
