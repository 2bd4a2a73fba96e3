package pillarbox

import (
	"strings"
)

// MaxCause bounds a cause, in bytes.
const MaxCause = 200

// Cause returns an error message without what differs from event to event, so that what failed for
// one reason can be counted as one: quoted values, ids, times and numbers become placeholders, and
// how often something was refused is left out. Codes of an answer stay, and so do quoted names. It
// is at most MaxCause bytes.
func Cause(message string) string {
	c := causeScanner{rest: withoutTally(message)}
	c.out.Grow(MaxCause + 16)
	for c.rest != "" && c.out.Len() <= MaxCause {
		c.step()
	}
	return cutCause(strings.TrimSuffix(c.out.String(), " "))
}

// withoutTally leaves out how often and how finally an event was refused.
func withoutTally(message string) string {
	if rest, found := strings.CutPrefix(message, "refused for good: "); found {
		return rest
	}
	if rest, found := strings.CutPrefix(message, "refused "); found {
		count, rest, found := strings.Cut(rest, " times, the last time with: ")
		if found && strings.Trim(count, digits) == "" {
			return rest
		}
	}
	return message
}

const digits = "0123456789"

// causeScanner reads a message from its beginning to its end.
type causeScanner struct {
	out   strings.Builder
	rest  string
	word  string // the last one
	inner bool   // the last byte was of a word
}

func (c *causeScanner) step() {
	switch b := c.rest[0]; {
	case (b == '"' || b == '\'' && !c.inner) && strings.IndexByte(c.rest[1:], b) >= 0:
		c.quoted(b)
	case isAlnum(b):
		c.token()
	case b == ' ' || b == '\t' || b == '\n' || b == '\r':
		if text := c.out.String(); text != "" && text[len(text)-1] != ' ' {
			c.out.WriteByte(' ')
		}
		c.rest, c.inner = c.rest[1:], false
	default:
		c.out.WriteByte(b)
		c.rest, c.inner = c.rest[1:], b >= 0x80 || b == '_'
	}
}

// quoted keeps what looks like the name of a column, a table or a member.
func (c *causeScanner) quoted(quote byte) {
	end := strings.IndexByte(c.rest[1:], quote) + 1
	text := c.rest[1:end]
	if text == "" || len(text) > 63 || strings.Trim(text, nameBytes) != "" {
		text = "…"
	}
	c.out.WriteByte(quote)
	c.out.WriteString(text)
	c.out.WriteByte(quote)
	c.rest, c.inner, c.word = c.rest[end+1:], false, ""
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-"

func isAlnum(b byte) bool { return isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// token reads a run of letters and digits, and what goes on behind a number.
func (c *causeScanner) token() {
	end, figures, hex := 0, 0, true
	for ; end < len(c.rest) && isAlnum(c.rest[end]); end++ {
		if isDigit(c.rest[end]) {
			figures++
		}
		hex = hex && strings.IndexByte("0123456789abcdefABCDEF", c.rest[end]) >= 0
	}
	text := c.rest[:end]
	switch {
	case figures == 0:
		c.out.WriteString(text)
	case uuidLength(c.rest) > 0:
		end = uuidLength(c.rest)
		c.out.WriteString("ID")
	case timeLength(c.rest) > 0:
		end = timeLength(c.rest)
		c.out.WriteString("TIME")
	case figures == end:
		end = numberLength(c.rest)
		c.number(c.rest[:end])
	case hex && !c.inner || strings.HasPrefix(text, "0x"):
		c.out.WriteString("HEX")
	default:
		c.mixed(text)
	}
	c.rest, c.inner, c.word = c.rest[end:], true, text
}

// number keeps a code: behind such a word a number says what happened.
func (c *causeScanner) number(text string) {
	switch strings.ToLower(c.word) {
	case "http", "status", "sqlstate", "code", "errno", "error":
		c.out.WriteString(text)
	default:
		c.out.WriteByte('N')
	}
}

// mixed leaves the numbers out of a word.
func (c *causeScanner) mixed(text string) {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			c.out.WriteByte(text[i])
		} else if i == 0 || !isDigit(text[i-1]) {
			c.out.WriteByte('N')
		}
	}
}

// uuidLength is the length of an id that the text begins with, and 0 where it does not.
func uuidLength(text string) int {
	const length = 36
	if len(text) < length {
		return 0
	}
	for i := range length {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (text[i] == '-') || !hyphen && !isAlnum(text[i]) {
			return 0
		}
	}
	return length
}

// timeLength is the length of a date, with its time, that the text begins with.
func timeLength(text string) int {
	const date = len("2006-01-02")
	if len(text) <= date || text[4] != '-' || text[7] != '-' || text[date] != 'T' && text[date] != ' ' {
		return 0
	}
	end := date + 1
	for end < len(text) && (isDigit(text[end]) || strings.IndexByte(":.+-Z", text[end]) >= 0) {
		end++
	}
	return end
}

// numberLength is the length of a number, an address or a time of day.
func numberLength(text string) int {
	end := 0
	for end < len(text) && (isDigit(text[end]) ||
		end+1 < len(text) && strings.IndexByte(".,:", text[end]) >= 0 && isDigit(text[end+1])) {
		end++
	}
	return end
}

func cutCause(cause string) string {
	cause = strings.ToValidUTF8(cause, "\uFFFD")
	if len(cause) <= MaxCause {
		return cause
	}
	return strings.ToValidUTF8(cause[:MaxCause-len("…")], "") + "…"
}
