package telemetry

// The keys of log attributes. One word per idea, the same word everywhere.
const (
	KeyAPIKey      = "api_key"     // id of an API key
	KeyAddr        = "addr"        // address that is listened on
	KeyClient      = "client"      // address of a client
	KeyAlert       = "alert"       // rule, and what it is of
	KeyAfter       = "after"       // how long something has taken so far
	KeyAttempt     = "attempt"     // number of the try, from 1
	KeyBatch       = "batch"       // events in the batch
	KeyBefore      = "before"      // the value that was there
	KeyBytes       = "bytes"       // size
	KeyCall        = "call"        // to the disk, with the file
	KeyCheck       = "check"       // what the check of a database says
	KeyConnections = "connections" // number of connections
	KeyDatabase    = "database"    // path of the database
	KeyDestination = "destination" // name from the configuration
	KeyDuration    = "duration"    // how long it took
	KeyErr         = "err"         // the error
	KeyEventID     = "event_id"    // request_id of the event
	KeyExpires     = "expires"     // when it ends
	KeyEvents      = "events"      // number of events
	KeyDataKeys    = "data_keys"   // how many
	KeyWrappedBy   = "wrapped_by"  // name of the key that wraps data keys
	KeyFile        = "file"        // path of a file
	KeyForced      = "forced"      // whether a person vouches for it
	KeyFrom        = "from"        // start of a range of keys
	KeyIssuer      = "issuer"      // of tokens
	KeyItems       = "items"       // number of items of a table
	KeyKept        = "kept"        // what was kept in place of another
	KeyKeys        = "keys"        // keys of the configuration
	KeyLines       = "lines"       // number of lines of the log
	KeyListener    = "listener"    // key of the configuration
	KeyMethod      = "method"      // of the request
	KeyName        = "name"        // of a header or parameter, as a client sent it
	KeyOffset      = "offset"      // bytes from the start of the file
	KeyQueue       = "queue"       // directory or URL of the queue
	KeyJob         = "job"         // its kind and id, as in "replay 3"
	KeyReason      = "reason"      // why, in a few words
	KeyReceiver    = "receiver"    // of alerts, by its name in the configuration
	KeyRepeated    = "repeated"    // how many lines this one stands for
	KeyRequestID   = "request_id"  // of the event
	KeyRequests    = "requests"    // number of requests
	KeyRetryIn     = "retry_in"    // wait before the next try
	KeyRoute       = "route"       // template, not the path
	KeySeverity    = "severity"    // of an alert
	KeySegment     = "segment"     // file of the log
	KeyService     = "service"     // part that is started and stopped
	KeySource      = "source"      // name from the configuration
	KeyStream      = "stream"      // of a broker: its stream or topic
	KeyStatus      = "status"      // of the answer
	KeyTable       = "table"       // name of the table
	KeyTo          = "to"          // destination that a person has chosen, or the end of a range
	KeyTook        = "took"        // how long it took in the end
	KeyTraceID     = "trace_id"    // of the trace that records it
	KeyWhat        = "what"        // kind of what the line is about
	KeyVersion     = "version"     // of the program

	// Of the embedded log.
	KeyDamaged     = "damaged"     // number of events that are damaged for good
	KeyFirst       = "first"       // sequence number of the first event
	KeyQuarantined = "quarantined" // whether the file was moved there
)
