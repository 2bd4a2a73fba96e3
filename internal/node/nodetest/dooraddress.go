package nodetest

import (
	"net/netip"
	"testing"

	"pillarbox/internal/source"
)

// addressDoors are requests, which come from 127.0.0.1, to sources that look where from.
func addressDoors(t testing.TB) (doors []Door) {
	t.Helper()
	networks := func(texts ...string) (prefixes []netip.Prefix) {
		for _, text := range texts {
			prefixes = append(prefixes, netip.MustParsePrefix(text))
		}
		return prefixes
	}
	here, elsewhere := networks("192.0.2.0/24", "127.0.0.0/8"), networks("192.0.2.0/24", "::/0", "127.0.0.2/32")
	for _, c := range []struct {
		name        string
		allow, deny []netip.Prefix
		good        bool
	}{
		{"allowed", here, nil, true},
		{"not allowed", elsewhere, nil, false},
		{"denied", nil, here, false},
		{"not denied", nil, elsewhere, true},
		{"allowed and not denied", here, elsewhere, true},
		{"allowed and denied", here, networks("127.0.0.1/32"), false},
		{"everybody is denied", nil, networks("0.0.0.0/0"), false},
	} {
		app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody, Allow: c.allow, Deny: c.deny}
		door := Door{Name: "address, " + c.name, Source: app, Header: []string{"Forwarded", "for=192.0.2.1"}, Body: "from where",
			Status: 403, Type: problemType, Answer: "problem"}
		alive := Door{Name: door.Name + ", alive", Source: app, Method: "GET", Status: 403, Type: problemType, Answer: "problem"}
		if c.good {
			door.Status, door.Type, door.Answer, door.Stored = 202, jsonType, "receipt", true
			alive.Status, alive.Type, alive.Answer = 200, jsonType, `{"status":"ok"}`+"\n"
		}
		doors = append(doors, door, alive)
	}
	return doors
}
