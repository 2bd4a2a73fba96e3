package xray

import "strings"

// trace is what the header of a trace says: Root=1-5759e988-bd862e3fe1be46a994272793;
// Parent=53995c3f42cd8ad8;Sampled=1. What else may be in it is not ours to pass on.
type trace struct {
	root, parent string
	sampled      bool
}

// readTrace reads a header. ok is false where there is no trace to go on with: without root and
// parent.
func readTrace(header string) (t trace, ok bool) {
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			t.root = value
		case "Parent":
			t.parent = value
		case "Sampled":
			t.sampled = value == "1"
		}
	}
	root := strings.Split(t.root, "-")
	ok = len(root) == 3 && root[0] == "1" && isHex(root[1], 8) && isHex(root[2], 24) &&
		isHex(t.parent, 16)
	return t, ok
}

func isHex(text string, length int) bool {
	return len(text) == length && strings.Trim(text, "0123456789abcdef") == ""
}

// Header returns what a message says of the trace that it is sent in, of the header that Lambda has
// set for the invocation. It is empty where there is none.
func Header(header string) string {
	t, ok := readTrace(header)
	if !ok {
		return ""
	}
	sampled := "0"
	if t.sampled {
		sampled = "1"
	}
	return "Root=" + t.root + ";Parent=" + t.parent + ";Sampled=" + sampled
}
