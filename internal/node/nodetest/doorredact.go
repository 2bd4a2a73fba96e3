package nodetest

import "pillarbox/internal/source"

// redactDoors are requests to a source that keeps some values otherwise than they came.
func redactDoors() []Door {
	app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody, Headers: source.HeaderPolicy{Deny: []string{"X-Noise"}},
		Redact: source.Places{Headers: []string{"X-Card"}, Query: []string{"card"}, JSON: []string{"/card"}},
		Hash: source.Hash{Key: []byte("a key of the tests"), Places: source.Places{Headers: []string{"X-Email"},
			JSON: []string{"/email"}}}}
	return []Door{
		{Name: "redaction", Source: app, Target: "/app?card=4111&token=s3cret&x=1", Body: `{"card":"4111","x":1}`,
			Header: []string{"X-Card", "4111", "Cookie", "s3cret", "X-Noise", "1", "X-Other", "2", "X-Email", "ada@example.org"},
			Status: 202, Type: jsonType, Answer: "receipt", Stored: true, Removed: []string{"X-Card", "Cookie", "X-Noise", "X-Email"},
			KeptBody: `{"card":"REDACTED","x":1}`, Query: "card=REDACTED&token=REDACTED&x=1",
			Said: []string{"redacted header X-Card", "header Cookie", "header X-Noise by rule", "hashed header X-Email",
				"redacted query card", "query token", "redacted json /card"}},
		{Name: "redaction, nothing to do", Source: app, Body: `{"x":{"card":1}}`, Status: 202, Type: jsonType, Answer: "receipt", Stored: true},
		{Name: "redaction, no body", Source: app, Status: 202, Type: jsonType, Answer: "receipt", Stored: true},
		{Name: "redaction, no JSON", Source: app, Body: "card=4111", Status: 400, Type: problemType, Answer: "problem"},
		{Name: "redaction, a part of JSON", Source: app, Body: `{"card":"4111"`, Status: 400, Type: problemType, Answer: "problem"},
	}
}
