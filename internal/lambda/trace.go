package lambda

import "strings"

// traceparentOf puts the header X-Amzn-Trace-Id
// ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8; Sampled=1") into the W3C
// form. It returns nothing where there is no root. Where there is no parent, because nothing before
// us has a segment of its own, the end of the root stands in: a trace that can be found is worth
// more than none.
func traceparentOf(header string) string {
	var root, parent, sampled string
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			root = value
		case "Parent":
			parent = value
		case "Sampled":
			sampled = value
		}
	}
	fields := strings.Split(strings.ToLower(root), "-")
	if len(fields) != 3 || fields[0] != "1" || len(fields[1]) != 8 || len(fields[2]) != 24 {
		return ""
	}
	if parent = strings.ToLower(parent); len(parent) != 16 {
		parent = fields[2][8:]
	}
	flags := "00"
	if sampled == "1" {
		flags = "01"
	}
	return "00-" + fields[1] + fields[2] + "-" + parent + "-" + flags
}
