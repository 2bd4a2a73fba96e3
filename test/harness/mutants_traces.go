package harness

// The planted bugs of traces.
var (
	// SendersParentKept lets events name the sender's span, and not that of their request.
	SendersParentKept = Mutant{"an event names the sender's span", []Edit{{
		"internal/ingest/scratch.go", "\t\tparent, s.recorded = request.Span.Traceparent(), true\n", "\t\ts.recorded = true\n",
	}}}
	// EverythingIsSampled takes a trace context for the wish to be recorded.
	EverythingIsSampled = Mutant{"the flag of a trace context is not looked at", []Edit{{
		"internal/telemetry/traces.go", "\treturn digit&1 == 1\n", "\treturn digit != 'x'\n",
	}}}
	// RefusedRequestsRecorded makes a span before the source has decided.
	RefusedRequestsRecorded = Mutant{"whoever comes makes a span", []Edit{{
		"internal/express/take_linux.go", "\tif err != nil {\n\t\treturn true\n\t}\n\tl.bytes += len(body)\n",
		"\tif err != nil {\n\t\tl.record(&l.items[len(l.items)-1], header)\n\t\treturn true\n\t}\n\tl.bytes += len(body)\n",
	}}}
	// ForwardedAsAccepted tells receivers of the request's span, and not of the delivery's.
	ForwardedAsAccepted = Mutant{"a receiver is beneath the request", []Edit{{
		"internal/deliver/trace.go", "\tsent.Traceparent = parent\n", "",
	}}}
	// StoredAsDelivered has stores keep another parent each time they are written to.
	StoredAsDelivered = Mutant{"a store keeps the span of a delivery", []Edit{{
		"internal/deliver/trace.go", "if parent == \"\" || !s.sink.Traits().Forwards {", "if parent == \"\" {",
	}}}
	// TextInSpans tells the receiver of spans what a destination has said.
	TextInSpans = Mutant{"a span holds the text of an error", []Edit{{
		"internal/deliver/trace.go", "\t\t\tfailure = outcome.Attempt.Class\n", "\t\t\tfailure = outcome.Attempt.Error\n",
	}}}
	// BatchWithoutLinks leaves nothing between a batch and the traces of its events.
	BatchWithoutLinks = Mutant{"a batch links to nothing", []Edit{{
		"internal/telemetry/traces_delivery.go", "At: at, Links: links,\n", "At: at,\n",
	}}}
	// SpansWithoutBound lets the SDK drop what nobody has counted.
	SpansWithoutBound = Mutant{"spans that have no room are not counted", []Edit{{
		"internal/telemetry/otlp/spans.go", "if g.counted.waiting.Add(1) > MaxWaiting {", "if g.counted.waiting.Add(1) > 1<<40 {",
	}}}
)

// The planted bugs of metrics.
var (
	// ExemplarForgotten observes a recorded request as any other.
	ExemplarForgotten = Mutant{"a recorded request is no exemplar", []Edit{{
		"internal/telemetry/prom/prom.go", "\to.Observer.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{\"trace_id\": traceID})\n", "\to.Observe(value)\n",
	}}}
	// RefusedCountsAsStored counts what a destination has refused again as replayed.
	RefusedCountsAsStored = Mutant{"a refused letter counts as stored", []Edit{{
		"internal/node/jobs.go", "\t\t\tcase down == nil:\n\t\t\t\trefused++\n", "\t\t\tcase down == nil:\n\t\t\t\tstored++\n",
	}}}
)

// The planted bugs of logs.
var (
	// FloodDropped holds lines and tells of none.
	FloodDropped = Mutant{"what is held of a flood is never told", []Edit{{
		"internal/telemetry/calm.go", "\tlast.AddAttrs(slog.Int(KeyRepeated, held))\n\t_ = kind.to.Handle(context.Background(), last)", "\t_ = last",
	}}}
	// QueryInAccessLog writes what may hold credentials.
	QueryInAccessLog = Mutant{"the access log has the query", []Edit{{
		"internal/intake/exchange.go", "\t\tentry.Path, entry.Source = x.to.Path, x.to.Source.Name\n", "\t\tentry.Path, entry.Source = r.RequestURI, x.to.Source.Name\n",
	}}}
	// LinesNotEscaped lets a client end a field and begin a line.
	LinesNotEscaped = Mutant{"texts of clients are not escaped", []Edit{{
		"internal/telemetry/access.go", "\t\tcase c == '\"' || c == '\\\\':\n\t\t\tb = append(b, '\\\\', c)\n", "",
	}}}
)
