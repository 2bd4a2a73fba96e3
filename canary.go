package pillarbox

// CanarySource is the source of the events that a server sends itself, through its own public door,
// to see that the whole way works. No configuration can have a source of that name.
const CanarySource = "pillarbox-canary"

// CanaryHeader marks what a canary sends, for whoever gets it. It says nothing about an event that
// has another source than CanarySource: anybody may send it.
const CanaryHeader = "Pillarbox-Canary"

// IsCanary reports whether the event is of the built-in canary. Such an event is in the log and on
// its way like any other, and is never stored, dead or held in the end: a destination that can be
// read back and removed from has it for the moment between, and it is settled as skipped, by
// SkippedCanary.
func (e *Event) IsCanary() bool { return e.Source == CanarySource }

// WithoutCanary is the account of what users have sent: without the events of the canary that are
// settled, and those that are on their way, as many as are known. Both are taken from both sides,
// so that it balances where the whole does. It returns how many they were.
func (a Account) WithoutCanary(onWay uint64) (Account, uint64) {
	onWay = min(onWay, a.Pending-min(a.Pending, a.Held))
	settled := a.SkippedBy.Canary
	a.Accepted -= min(a.Accepted, settled+onWay)
	a.Skipped -= min(a.Skipped, settled)
	a.Pending -= onWay
	a.SkippedBy.Canary = 0
	return a, settled + onWay
}
