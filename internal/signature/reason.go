package signature

// Reason says why a request is refused. It is an error, for our side alone.
type Reason uint8

// The reasons.
const (
	Missing   Reason = iota + 1 // a header that the scheme needs is not there
	Malformed                   // what is there can't be read, or stands there twice
	Mismatch                    // no signature is by any of the secrets over these bytes
	TooOld                      // signed by a secret, longer ago than the tolerance
	TooNew                      // signed by a secret, further in the future than the tolerance
	reasons
)

var reasonNames = [reasons]string{
	Missing: "missing", Malformed: "malformed", Mismatch: "mismatch",
	TooOld: "too_old", TooNew: "too_new",
}

// Reasons lists all of them.
func Reasons() []Reason { return []Reason{Missing, Malformed, Mismatch, TooOld, TooNew} }

// String is the name in metrics and logs.
func (r Reason) String() string {
	if r == 0 || r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

func (r Reason) Error() string { return "signature: " + r.String() }
