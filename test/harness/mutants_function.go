package harness

// Bugs in the function that accepts on AWS.
var (
	// OpenWithoutSecrets goes on where the secrets of sources can't be had.
	OpenWithoutSecrets = Mutant{"sources are open before their secrets are there", []Edit{{
		"internal/lambda/door/door.go", "\tif d.refers = refers; refers && opts.Secrets != nil {\n\t\treturn d, nil\n\t}\n",
		"\tif d.refers = refers; refers && opts.Secrets != nil {\n\t\tif cfg, _, err = d.load(map[string]string{\"PASSWORD\": \"0123456789abcdef\"}); err == nil {\n\t\t\terr = d.use(cfg)\n\t\t}\n\t\treturn d, err\n\t}\n",
	}}}
	// KeysNeverAgain reads API keys once.
	KeysNeverAgain = Mutant{"API keys are read once", []Edit{{
		"internal/lambda/door/door.go", "\tif k.have && now.Before(k.due) && k.due.Sub(now) <= every {\n", "\tif k.have {\n",
	}}}
	// KeysAwayOpen forgets that a source asks for keys where they can't be had.
	KeysAwayOpen = Mutant{"requests go on while there are no API keys yet", []Edit{{
		"internal/lambda/door/door.go", "\tcase !k.have:\n\t\treturn &pillarbox.RetryAfterError", "\tcase !k.have && false:\n\t\treturn &pillarbox.RetryAfterError",
	}}}
	// DamagedKeysCount ends all keys where their file is damaged.
	DamagedKeysCount = Mutant{"a damaged file ends all API keys", []Edit{{
		"internal/apikey/apikey.go", "\t\tif entries, err = decode(text); err != nil {\n", "\t\tif entries, err = decode(text); err != nil {\n\t\t\tr.put(nil)\n",
	}}}
	// ClockHoldsUpRefresh waits for a clock that was set back.
	ClockHoldsUpRefresh = Mutant{"a clock that is set back holds up secrets", []Edit{{
		"internal/lambda/door/door.go", " && k.due.Sub(now) <= every {", " {",
	}}}
	// FunctionConfigured lets the function's own variables into the file of sources.
	FunctionConfigured = Mutant{"variables of the function are keys of the file", []Edit{{
		"internal/sourceconfig/function.go", "\t\tif ours[name] {\n\t\t\treturn \"\", false\n\t\t}\n", "",
	}}}
	// RatesOfOneProcess lets each process count for itself.
	RatesOfOneProcess = Mutant{"rates are taken on AWS", []Edit{{
		"internal/sourceconfig/function.go", "\t\tif len(s.Rate) > 0 {\n", "\t\tif len(s.Rate) > 1 {\n",
	}}}
	// CertificatesOnAWS takes a rule that no request can meet.
	CertificatesOnAWS = Mutant{"client certificates are taken on AWS", []Edit{{
		"internal/sourceconfig/function.go", "\t\t\tif len(way.ClientCert.Names)+len(way.ClientCert.URIs) > 0 {\n", "\t\t\tif len(way.ClientCert.URIs) > 0 {\n",
	}}}
	// DeadlineForgotten lets Lambda kill the process under an append.
	DeadlineForgotten = Mutant{"the function waits for the queue beyond its own end", []Edit{{
		"internal/lambda/acceptor.go", "\tif !c.limited {\n", "\tif c.limited {\n",
	}}}
	// QueueFaultOfTheClient tells clients of a queue that is missing as if it were theirs.
	QueueFaultOfTheClient = Mutant{"faults of the queue are the client's", []Edit{{
		"internal/lambda/acceptor.go", "\treturn protocol.Hide(err)\n", "\treturn err\n",
	}}}
	// KeysAreFaults hides from a client that its idempotency key came with another content.
	KeysAreFaults = Mutant{"a used idempotency key is a fault of ours", []Edit{{
		"internal/lambda/acceptor.go", " ||\n\t\terrors.Is(err, pillarbox.ErrKeyReused) {\n", " {\n",
	}}}
	// RefreshTooLate looks for the source before it is known.
	RefreshTooLate = Mutant{"a request is routed before sources are taken over", []Edit{{
		"internal/lambda/accept.go", "\terr := a.refresh(ctx)\n\tvar request *http.Request\n\tif err == nil { // and not before: what leads where may be known only now\n\t\trequest, err = event.request(context.WithValue(ctx, callKey{}, call), a.sources.Table())\n\t}\n",
		"\trequest, err := event.request(context.WithValue(ctx, callKey{}, call), a.sources.Table())\n\tif err == nil {\n\t\terr = a.refresh(ctx)\n\t}\n",
	}}}
	// RootTakesAll lets every path lead to the source of the root.
	RootTakesAll = Mutant{"the root takes every path", []Edit{{
		"internal/lambda/gateway.go", "\tif strings.Trim(asked, \"/\") == e.Context.Stage {\n", "\tif true {\n",
	}}}
)
