package torture

// AllFileSystems are those that the power can be cut for.
var AllFileSystems = []string{"ext4", "xfs"}

// PowerCutOptions are the options of PowerCut.
type PowerCutOptions struct {
	Options
	FS string // one of AllFileSystems

	// Trusted, if set, is the binary that reads what is left; Binary is then expected to have a bug.
	// Every cut gets a data directory of its own, so that one loss does not hide the next.
	Trusted string
	Kind    LifeKind // of all lives; empty draws one for each
}

// LifeKind says what a server does before the power goes.
type LifeKind string

// A life that delivers holds few events in the log alone, so some only accept. Under load the next
// group follows at once, and its sync covers what an earlier answer was too early for: so some are
// cut when the last answer has been given and nothing follows. Delivered events are forgotten
// durably after about a second, so some rest that long before the cut: a database that is synced
// too late loses nothing earlier, and under load its checkpoints would hide the bug.
const (
	LifeBusy       LifeKind = "busy"
	LifeAcceptOnly LifeKind = "accept only"
	LifeAnswered   LifeKind = "answered"
	LifeRested     LifeKind = "rested"
)
