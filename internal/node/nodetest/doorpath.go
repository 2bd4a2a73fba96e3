package nodetest

import (
	"strings"

	"pillarbox"
	"pillarbox/internal/source"
)

// pathDoors are requests to paths of which parts stand for others, and with a slash at the end.
func pathDoors() (doors []Door) {
	for _, c := range []struct {
		path, target string
		attributes   pillarbox.Attributes
		taken        bool
	}{
		{"/app", "/app/", nil, true},
		{"/app", "/app//", nil, false},
		{"/app", "/app/x", nil, false},
		{"/app/*", "/app/a/b?c=d", nil, true},
		{"/app/*", "/app/a/", nil, true},
		{"/app/*", "/app", nil, false},
		{"/app/*", "/app/", nil, false},
		{"/app/*", "/app/gr%C3%BCn%2Fx", nil, true},
		{"/t/{tenant}/hooks", "/t/acme/hooks", pillarbox.Attributes{{Name: "tenant", Value: "acme"}}, true},
		{"/t/{tenant}/hooks", "/t/a%20b/hooks/", pillarbox.Attributes{{Name: "tenant", Value: "a b"}}, true},
		{"/t/{tenant}/hooks", "/t/acme", nil, false},
		{"/t/{tenant}/*", "/t/acme/x/y", pillarbox.Attributes{{Name: "tenant", Value: "acme"}}, true},
	} {
		door := Door{Name: c.target + " to " + c.path, Source: source.Settings{Name: "app", Path: c.path, MaxBody: MaxBody}, Target: c.target,
			Body: "x", Status: 404, Type: problemType, Answer: "problem"}
		if c.taken {
			door.Status, door.Type, door.Answer, door.Stored = 202, jsonType, "receipt", true
			door.Facts = &pillarbox.Facts{Attributes: c.attributes}
			door.Kept, _, _ = strings.Cut(c.target, "?")
		}
		doors = append(doors, door)
	}
	return doors
}
