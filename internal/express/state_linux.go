package express

// state is the one state of a connection. It says what the connection waits for, or what becomes of
// it once its answers are written. Those up to stateAnswering go on with requests: only they are
// read from.
type state uint8

const (
	_              state = iota // what the table has where an event can't be
	stateFresh                  // nothing of its first request is there; its time runs since the accept
	stateFirstHead              // a part of its first head is there, and its time goes on
	stateIdle                   // between two requests
	stateHead                   // a part of a head is there
	stateBody                   // a head and a part of its body are there
	stateAnswering              // the turn answers it; what else is there is seen at its end

	stateBacklog       // it has sent more requests than the turn takes; the next one goes on
	stateWriting       // its client does not read its answers fast enough, so it is not read either
	stateCloseAfter    // once its answers are written, it is closed
	stateLingerAfter   // once its answers are written, it lingers
	stateHandOverAfter // once its answers are written, it is handed over
	stateLingering     // what the client still sends is read for a while, and forgotten
	stateBroken        // its socket has failed, so it is closed at the end of the turn
	stateHandedOver    // net/http has it
	stateClosed

	states
)

// event is what changes the state of a connection.
type event uint8

const (
	eventRequest     event = iota // a complete request was taken
	eventLast                     // and it says that no other one follows
	eventFull                     // there may be another one, and the turn takes no more
	eventResumed                  // the next turn goes on with it
	eventBlocked                  // not all answers could be written
	eventWritten                  // now they could
	eventNothingLeft              // at the end of the turn nothing of a further request is there
	eventHeadLeft                 // a part of a head is
	eventBodyLeft                 // a head and a part of its body are
	eventRefused                  // the request is answered with an error, and none is read after it
	eventUnusual                  // the request is one for net/http
	eventEnded                    // the client has ended its side, and all of it was read
	eventDrained                  // the server drains, and nothing of a request is there
	eventDrainedLate              // the server drains since the turn began, or will; more may be there
	eventLinger                   // our side was ended
	eventHandOver                 // net/http gets it
	eventFailed                   // nothing can be read or written any more
	eventClosed                   // by whatever reason

	events
)

// transitions is the table of doc.go. A transition that it does not have is a bug.
var transitions = [states][events]state{
	stateFresh: {
		eventRequest:     stateAnswering,
		eventNothingLeft: stateFresh,
		eventHeadLeft:    stateFirstHead,
		eventBodyLeft:    stateBody,
		eventRefused:     stateLingerAfter,
		eventUnusual:     stateHandOverAfter,
		eventEnded:       stateCloseAfter,
		eventFailed:      stateBroken,
		eventClosed:      stateClosed,
	},
	stateFirstHead: {
		eventRequest:     stateAnswering,
		eventNothingLeft: stateFresh,
		eventHeadLeft:    stateFirstHead,
		eventBodyLeft:    stateBody,
		eventRefused:     stateLingerAfter,
		eventUnusual:     stateHandOverAfter,
		eventEnded:       stateCloseAfter,
		eventDrained:     stateCloseAfter,
		eventFailed:      stateBroken,
		eventClosed:      stateClosed,
	},
	stateIdle: {
		eventRequest:     stateAnswering,
		eventNothingLeft: stateIdle,
		eventHeadLeft:    stateHead,
		eventBodyLeft:    stateBody,
		eventRefused:     stateLingerAfter,
		eventUnusual:     stateHandOverAfter,
		eventEnded:       stateCloseAfter,
		eventDrained:     stateCloseAfter,
		eventFailed:      stateBroken,
		eventClosed:      stateClosed,
	},
	stateHead: {
		eventRequest:     stateAnswering,
		eventFull:        stateBacklog,
		eventNothingLeft: stateIdle,
		eventHeadLeft:    stateHead,
		eventBodyLeft:    stateBody,
		eventRefused:     stateLingerAfter,
		eventUnusual:     stateHandOverAfter,
		eventEnded:       stateCloseAfter,
		eventDrained:     stateCloseAfter,
		eventFailed:      stateBroken,
		eventClosed:      stateClosed,
	},
	stateBody: {
		eventRequest:  stateAnswering,
		eventBodyLeft: stateBody,
		eventRefused:  stateLingerAfter,
		eventEnded:    stateCloseAfter,
		eventFailed:   stateBroken,
		eventClosed:   stateClosed,
	},
	stateAnswering: {
		eventRequest:     stateAnswering,
		eventLast:        stateCloseAfter,
		eventFull:        stateBacklog,
		eventBlocked:     stateWriting,
		eventNothingLeft: stateIdle,
		eventHeadLeft:    stateHead,
		eventBodyLeft:    stateBody,
		eventRefused:     stateLingerAfter,
		eventUnusual:     stateHandOverAfter,
		eventEnded:       stateCloseAfter,
		eventDrained:     stateCloseAfter,
		eventDrainedLate: stateLingerAfter,
		eventFailed:      stateBroken,
		eventClosed:      stateClosed,
	},
	stateBacklog: {
		eventResumed: stateHead,
		eventRefused: stateLingerAfter,
		eventFailed:  stateBroken,
		eventClosed:  stateClosed,
	},
	stateWriting: {
		eventWritten: stateAnswering,
		eventFailed:  stateBroken,
		eventClosed:  stateClosed,
	},
	stateCloseAfter: {
		eventFailed: stateBroken,
		eventClosed: stateClosed,
	},
	stateLingerAfter: {
		eventLinger: stateLingering,
		eventFailed: stateBroken,
		eventClosed: stateClosed,
	},
	stateHandOverAfter: {
		eventRefused:  stateLingerAfter,
		eventHandOver: stateHandedOver,
		eventFailed:   stateBroken,
		eventClosed:   stateClosed,
	},
	stateLingering: {
		eventFailed: stateBroken,
		eventClosed: stateClosed,
	},
	stateBroken: {
		eventClosed: stateClosed,
	},
}

// observer is told of each transition; nil but in tests.
var observer func(from state, what event)

// advance is the only place where the state of a connection changes.
func (c *conn) advance(what event) {
	next := transitions[c.state][what]
	if next == 0 {
		panic("pillarbox: bug: a connection that is " + c.state.String() + " can't be told: " +
			what.String())
	}
	if observer != nil {
		observer(c.state, what)
	}
	c.state = next
}

// reads reports whether the connection goes on with requests.
func (s state) reads() bool { return s <= stateAnswering }

// gone reports whether the loop has the connection no more.
func (s state) gone() bool { return s >= stateHandedOver }

// ends reports whether the answers that are written next are the last ones.
func (s state) ends() bool { return s == stateCloseAfter || s == stateLingerAfter }

func (s state) String() string { return stateNames[s] }

func (e event) String() string { return eventNames[e] }

var stateNames = [states]string{
	stateFresh:         "fresh",
	stateFirstHead:     "first head",
	stateIdle:          "idle",
	stateHead:          "head",
	stateBody:          "body",
	stateAnswering:     "answering",
	stateBacklog:       "backlog",
	stateWriting:       "writing",
	stateCloseAfter:    "close after",
	stateLingerAfter:   "linger after",
	stateHandOverAfter: "hand over after",
	stateLingering:     "lingering",
	stateBroken:        "broken",
	stateHandedOver:    "handed over",
	stateClosed:        "closed",
}

var eventNames = [events]string{
	eventRequest:     "request",
	eventLast:        "last",
	eventFull:        "full",
	eventResumed:     "resumed",
	eventBlocked:     "blocked",
	eventWritten:     "written",
	eventNothingLeft: "nothing left",
	eventHeadLeft:    "head left",
	eventBodyLeft:    "body left",
	eventRefused:     "refused",
	eventUnusual:     "unusual",
	eventEnded:       "ended",
	eventDrained:     "drained",
	eventDrainedLate: "drained late",
	eventLinger:      "linger",
	eventHandOver:    "hand over",
	eventFailed:      "failed",
	eventClosed:      "closed",
}

// input is what is known of the bytes that a client has sent and that were not read. Sockets are
// watched edge-triggered, so nobody tells it twice.
type input uint8

const (
	inputDrained input = iota // there are none
	inputReady                // there may be some
	inputEnding               // and the client has ended its side behind them
	inputEnded                // the end was read
)

// ready reports whether reading may bring something.
func (i input) ready() bool { return i == inputReady || i == inputEnding }

// wake notes that there may be something again.
func (i *input) wake() {
	if *i == inputDrained {
		*i = inputReady
	}
}
