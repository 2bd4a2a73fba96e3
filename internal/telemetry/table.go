package telemetry

// The types of a metric, as Prometheus calls them.
const (
	TypeCounter   = "counter"
	TypeGauge     = "gauge"
	TypeHistogram = "histogram"
)

// Metric declares one metric.
type Metric struct {
	Name    string
	Type    string // one of the Type constants
	Help    string
	Labels  []string
	Buckets []float64 // upper bounds of a histogram
}

// The labels, each with the closed set that its values come from.
const (
	labelSource      = "source"      // names of sources in the configuration
	labelDestination = "destination" // names of destinations in the configuration
	labelResult      = "result"      // IngestResult, BatchResult or SpanResult
	labelChange      = "change"      // of a shape
	labelOutcome     = "outcome"     // Outcome
	labelRoute       = "route"       // route templates of the program
	labelMethod      = "method"      // the registered methods, or "other"
	labelCode        = "code"        // status codes
	labelListener    = "listener"    // tls or admin.tls
	labelFile        = "file"        // from the configuration
	labelReason      = "reason"      // closeReasons, refusals or unverifiedReasons
	labelLimit       = "limit"       // limits
	labelEncoding    = "encoding"    // of bodies
	labelWhat        = "what"        // Removal
	labelKind        = "kind"        // of jobs, or of receivers of alerts
	labelAlert       = "alert"       // rules that are built in, or in the file of alerts.rules
	labelSeverity    = "severity"    // high or low
)

// The keys of the table, by which the rest of the package finds a metric.
const (
	dataKeys            = "pillarbox_encryption_data_keys"
	dataKeyAge          = "pillarbox_encryption_data_key_age_seconds"
	dataKeyFailures     = "pillarbox_encryption_data_key_failures_total"
	quarantinedRequests = "pillarbox_quarantined_requests"
	quarantinedBytes    = "pillarbox_quarantined_bytes"
	quarantinedTotal    = "pillarbox_quarantined_outcomes_total"
	ingestEvents        = "pillarbox_ingest_events_total"
	ingestBytes         = "pillarbox_ingest_bytes_total"
	ingestRefused       = "pillarbox_ingest_refused_total"
	ingestRemoved       = "pillarbox_ingest_removed_total"
	ingestUnverified    = "pillarbox_ingest_unverified_total"
	ingestUnauthorized  = "pillarbox_ingest_unauthorized_total"
	ingestLimited       = "pillarbox_ingest_limited_total"
	ingestHandshakes    = "pillarbox_ingest_handshakes_total"
	ingestAppend        = "pillarbox_ingest_append_seconds"
	httpRequests        = "pillarbox_http_requests_total"
	httpSeconds         = "pillarbox_http_request_seconds"
	httpInFlight        = "pillarbox_http_requests_in_flight"
	httpClosed          = "pillarbox_http_connections_closed_total"
	certificateExpiry   = "pillarbox_certificate_expiry_timestamp_seconds"
	certificateProblem  = "pillarbox_certificate_problem"
	seglogCommits       = "pillarbox_seglog_commits_total"
	seglogGroup         = "pillarbox_seglog_commit_events"
	seglogFsync         = "pillarbox_seglog_fsync_seconds"
	seglogWritten       = "pillarbox_seglog_written_bytes_total"
	seglogErrors        = "pillarbox_seglog_io_errors_total"
	seglogDamaged       = "pillarbox_seglog_damaged_events_total"
	ingestDecoded       = "pillarbox_ingest_decoded_total"

	deliverEvents  = "pillarbox_deliver_events_total"
	deliverBatches = "pillarbox_deliver_batches_total"
	deliverBatch   = "pillarbox_deliver_batch_events"
	deliverWrite   = "pillarbox_deliver_write_seconds"
	deliverLag     = "pillarbox_deliver_lag_seconds"
	deliverBreaker = "pillarbox_deliver_breaker_open"
	deliverPaused  = "pillarbox_deliver_paused"
	deliverFilter  = "pillarbox_deliver_filter_failures_total"
	deliverShaped  = "pillarbox_deliver_shaped_values_total"

	deliverHanging = "pillarbox_deliver_hanging_seconds"

	queueBytes     = "pillarbox_queue_bytes"
	queueMaxBytes  = "pillarbox_queue_max_bytes"
	queueAccepted  = "pillarbox_queue_accepted_events_total"
	queueAccepting = "pillarbox_queue_accepting"
	queueHanging   = "pillarbox_queue_hanging_seconds"
	diskHanging    = "pillarbox_disk_hanging_seconds"
	queuePending   = "pillarbox_queue_pending_events"
	queueOldest    = "pillarbox_queue_oldest_event_age_seconds"
	queueRetrying  = "pillarbox_queue_retrying_events"
	queueHeld      = "pillarbox_queue_held_events"
	deadLetters    = "pillarbox_dead_letters"
	deadMissing    = "pillarbox_dead_letters_missing"
	keysHeld       = "pillarbox_idempotency_keys"
	keysMax        = "pillarbox_idempotency_max_keys"
	keysWindow     = "pillarbox_idempotency_window_seconds"
	keysOldest     = "pillarbox_idempotency_oldest_key_age_seconds"
	keysInFlight   = "pillarbox_idempotency_keys_in_flight"
	keysUnknown    = "pillarbox_idempotency_unknown_keys"
	keysDamaged    = "pillarbox_idempotency_damaged_total"
	keysUnsettled  = "pillarbox_idempotency_unsettled_total"
	logDropped     = "pillarbox_log_dropped_lines_total"
	traceSpans     = "pillarbox_trace_spans_total"
	metricPushes   = "pillarbox_metric_pushes_total"
	alertsFiring   = "pillarbox_alerts_firing"
	alertMessages  = "pillarbox_alert_notifications_total"
	alertBeats     = "pillarbox_alert_heartbeats_total"
	alertFailures  = "pillarbox_alert_failures_total"
	diskFree       = "pillarbox_disk_free_bytes"
	jobsRunning    = "pillarbox_jobs_running"
	jobEvents      = "pillarbox_job_events_total"
	storePurged    = "pillarbox_store_purged_events_total"
	ledgerBalanced = "pillarbox_ledger_balanced"

	canaryRunsTotal   = "pillarbox_canary_runs_total"
	canaryAccept      = "pillarbox_canary_accept_seconds"
	canaryRefusedRuns = "pillarbox_canary_refused_in_a_row"
	canaryInterval    = "pillarbox_canary_interval_seconds"
	canaryResults     = "pillarbox_canary_results_total"
	canarySeconds     = "pillarbox_canary_seconds"
	canaryLastSuccess = "pillarbox_canary_last_success_timestamp_seconds"
	canaryWaiting     = "pillarbox_canary_waiting"
	canaryLostRuns    = "pillarbox_canary_lost_in_a_row"

	clockSteps = "pillarbox_clock_steps_total"
	buildInfo  = "pillarbox_build_info"
)

// Table returns the declaration of every metric, in the order of the way of an event.
func Table() []Metric {
	// From a flush on a fast disk to a request that waits as long as it may.
	seconds := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5,
		5, 10, 30}
	// From at once to two weeks behind, which is how long a queue keeps events by default.
	lag := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600,
		86400, 604800, 1209600}
	events := []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}

	source, destination := []string{labelSource}, []string{labelDestination}
	return []Metric{
		{ingestEvents, TypeCounter, "Events by what was answered: `accepted`, `replayed` (their idempotency key was known), `in_flight` and `key_reused` (409 and 422 for that key), `invalid`, `too_large`, `full` (a configured limit), `no_space` (the disk), `unavailable`, `unknown` (the disk has not answered in time: it may be stored) or `quarantined` (no event until it is released).", []string{labelSource, labelResult}, nil},
		{ingestBytes, TypeCounter, "Bytes in the bodies of accepted events, after decoding.", source,
			nil},
		{ingestRefused, TypeCounter, "Requests that were refused, and items of batches, by reason: `invalid` (400), `unauthorized` (401), `forbidden` (403), `method` (405), `slow` (408), `too_large` (413), `unsupported` (415), `in_flight` (409) and `key_reused` (422: its idempotency key), `batch` (424: another item of a strict batch is refused), `rate` (429), `unavailable` (503: full, or a fault that passes), `no_space` (507) or `other`. A batch that is refused as a whole counts once.", []string{labelSource, labelReason}, nil},
		{ingestRemoved, TypeCounter, "What was not kept of requests: bearer secrets in a `header`, in a `parameter` of the query or in the `url` of a header, headers that a `rule` of the configuration does not want, and values that it wants `redacted` or `hashed`.", []string{labelSource, labelWhat}, nil},
		{ingestUnauthorized, TypeCounter, "Requests that were refused with 401 because they come with no credential that opens the source, by what was wrong: there is none (`missing`), there are `several` that differ, it is `malformed` (also a key with a wrong checksum), `unknown` (also a wrong password), `revoked`, `expired`, or a key of an `other_source`; of a token, its `algorithm` is not allowed, it is of an `other_issuer`, for an `other_audience`, or in force `not_yet`. Clients are not told which.", []string{labelSource, labelReason}, nil},
		{ingestUnverified, TypeCounter, "Requests that were refused with 401 because no secret of the source has signed them, by what was wrong: the signature is `missing`, `malformed` or a `mismatch`, or it is good and `too_old` or `too_new`. Clients are not told which.", []string{labelSource, labelReason}, nil},
		{ingestDecoded, TypeCounter, "Bodies that came with a Content-Encoding and are kept without it, by `encoding`: gzip, deflate or zstd.", []string{labelSource, labelEncoding}, nil},
		{ingestLimited, TypeCounter, "Requests that were refused because they are over a limit of the rate, by whose it is: of the `server` (http.rate; 503), or of the `source`, of a `key` or of an `address` (rate of the source; 429).", []string{labelSource, labelLimit}, nil},
		{ingestHandshakes, TypeCounter, "Handshakes that were answered: senders that ask whether this is the right address. Nothing of them is stored.", source, nil},
		{ingestAppend, TypeHistogram, "Time that making events durable took, as one request sees it.",
			nil, seconds},
		{httpRequests, TypeCounter, "Answered requests. The method is `other` where it is none of the registered ones.", []string{labelRoute, labelMethod, labelCode}, nil},
		{httpSeconds, TypeHistogram, "Time from the head of a request to the end of its answer.",
			[]string{labelRoute}, seconds},
		{httpInFlight, TypeGauge, "Requests that are being worked on.", nil, nil},
		{httpClosed, TypeCounter, "Connections that were closed to keep to the limits: `room` (it rested for the longest time, and a newcomer waited) or `address` (its address had as many as it may); and before HTTP began: `handshake` (that of TLS has failed or took too long), `proxy` (it is of no trusted proxy, or its PROXY header is bad) or `crowded` (too many had begun, and its client was waited for).", []string{labelReason}, nil},
		{certificateExpiry, TypeGauge, "When a certificate ends, as Unix time.", []string{labelListener, labelFile}, nil},
		{certificateProblem, TypeGauge, "1 where a certificate ends within 14 days or has ended, or where its files can't be taken; 0 else. `pillarbox status` says which.", []string{labelListener, labelFile}, nil},
		{seglogCommits, TypeCounter, "Group commits of the embedded log; each is one write and one flush.", nil, nil},
		{seglogGroup, TypeHistogram, "Events in one group commit.", nil, events},
		{seglogFsync, TypeHistogram, "Time that one flush to stable storage took.", nil, seconds},
		{seglogWritten, TypeCounter, "Bytes written to the embedded log, headers included.", nil, nil},
		{seglogErrors, TypeCounter, "Failed writes and flushes of the embedded log. Each one ends a segment; any increase needs a look at the disk.", nil, nil},
		{seglogDamaged, TypeCounter, "Events that were lost to damaged files of the embedded log. Any increase needs a person.", nil, nil},
		{deliverEvents, TypeCounter, "Deliveries by outcome: `stored`, `retry` (refused, to be tried again), `dead` (now a dead letter), `released` (given back unharmed), `skipped` (not meant for this destination) or `held` (no destination takes it any more).", []string{labelDestination, labelOutcome}, nil},
		{deliverBatches, TypeCounter, "Writes by result: `stored` (all of the batch), `partial` (some of it), `refused` (none of it) or `unavailable` (the destination is down).", []string{labelDestination, labelResult}, nil},
		{deliverBatch, TypeHistogram, "Events in one write.", destination, events},
		{deliverWrite, TypeHistogram, "Time that one write to the destination took.", destination,
			seconds},
		{deliverLag, TypeHistogram, "Time from accepting an event to its being stored.", destination,
			lag},
		{deliverBreaker, TypeGauge, "1 while delivery waits because the destination is down, else 0.", destination, nil},
		{deliverPaused, TypeGauge, "1 while delivery waits because a person has paused it (`pillarbox pause`), else 0.", destination, nil},
		{deliverFilter, TypeCounter, "Events that the filter of the destination (`where`) could not tell of. They are delivered, or are dead letters, as `where_on_error` says.", destination, nil},
		{deliverShaped, TypeCounter, "Values that the destination's `shape` has changed, each time that an event was written: `dropped`, `redacted` or `renamed`.", []string{labelDestination, labelChange}, nil},
		{deliverHanging, TypeGauge, "How long a write to the destination has not returned, once that is longer than its `write_timeout`; 0 while writes return.", destination, nil},
		{queueBytes, TypeGauge, "Bytes that the queue holds for its slowest destination.", nil, nil},
		{queueMaxBytes, TypeGauge, "Limit of `pillarbox_queue_bytes`; 0 where there is none.", nil, nil},
		{queueAccepted, TypeCounter, "Events accepted since the queue was made. Restarts do not reset it.", nil, nil},
		{queueAccepting, TypeGauge, "1 while the queue takes new events, 0 while it refuses them.", nil,
			nil},
		{queueHanging, TypeGauge, "How long the storage of the queue has not answered a commit, once that is longer than `queue.commit_timeout`; 0 while it answers. Nothing is accepted meanwhile.", nil, nil},
		{diskHanging, TypeGauge, "How long the disk of the data directory has not answered any one call, once that is longer than `queue.commit_timeout`; 0 while it answers.", nil, nil},
		{dataKeys, TypeGauge, "Data keys at hand, of which one seals what is new (`encryption.key`).", nil, nil},
		{dataKeyAge, TypeGauge, "How old the data key is that seals what is new. Past a day, no other one could be made.", nil, nil},
		{dataKeyFailures, TypeCounter, "How often a data key that was due could not be made, because the key that wraps it, or the disk, did not answer. The one at hand is used on. Restarts reset it.", nil, nil},
		{quarantinedRequests, TypeGauge, "Requests in quarantine, because their signature fails (`signature.on_failure: quarantine`). Any at all need a person's decision.", nil, nil},
		{quarantinedBytes, TypeGauge, "Size of their files.", nil, nil},
		{quarantinedTotal, TypeCounter, "What became of requests whose signature fails: `kept` in quarantine, and from there `released` (their signature proves them now), `forced` (a person has vouched for them), `discarded` or `expired` (`quarantine.max_age`); `full` were refused with 401 for want of room. Restarts reset it.", []string{labelOutcome}, nil},
		{keysHeld, TypeGauge, "Idempotency keys that are remembered.", nil, nil},
		{keysMax, TypeGauge, "How many idempotency keys are remembered at most (`idempotency.max_keys`): with more, the oldest go before their window ends.", nil, nil},
		{keysWindow, TypeGauge, "For how long an idempotency key is remembered at most (`idempotency.window`).", nil, nil},
		{keysOldest, TypeGauge, "Age of the oldest idempotency key that is remembered. Less than the window on a busy server says that `idempotency.max_keys` ends it earlier.", nil, nil},
		{keysInFlight, TypeGauge, "Idempotency keys whose request is not answered yet.", nil, nil},
		{keysUnknown, TypeGauge, "Idempotency keys whose event may be stored: a request that repeats one gets the same id.", nil, nil},
		{keysDamaged, TypeCounter, "Lookups of idempotency keys that damaged files left without an answer, and files that were set aside. Restarts reset it.", nil, nil},
		{keysUnsettled, TypeCounter, "Times that a store of idempotency keys did not take what became of them; they are in flight for longer then.", nil, nil},
		{queuePending, TypeGauge, "Accepted events that are not settled for the destination.",
			destination, nil},
		{queueOldest, TypeGauge, "Age of the oldest event that is not settled for the destination; 0 where there is none.", destination, nil},
		{queueRetrying, TypeGauge, "Pending events that were refused at least once.", destination, nil},
		{queueHeld, TypeGauge, "Pending events that no destination takes any more. Any at all need a person's decision.", destination, nil},
		{deadLetters, TypeGauge, "Dead letters that are open: neither replayed nor discarded.",
			destination, nil},
		{deadMissing, TypeGauge, "Dead letters whose files were removed by hand. `pillarbox audit` names them.", destination, nil},
		{storePurged, TypeCounter, "Stored events that `pillarbox purge` has deleted since the store was made. Restarts do not reset it.", destination, nil},
		{ledgerBalanced, TypeGauge, "1 while accepted = stored + dead + skipped + pending holds for the destination, else 0.", destination, nil},
		{canaryRunsTotal, TypeCounter, "Canaries that this server has sent itself through its public door, by the answer: `accepted`, `refused` (a status that is no 2xx) or `unanswered`. Their events are in no metric of sources, routes and deliveries, and in `pillarbox_queue_accepted_events_total` alone.", []string{labelResult}, nil},
		{canaryAccept, TypeHistogram, "Time from sending a canary to the answer that it is durable.", nil, seconds},
		{canaryRefusedRuns, TypeGauge, "Canaries since the last one that was accepted. 0 while all is well.", nil, nil},
		{canaryInterval, TypeGauge, "Time between two canaries: canary.every, and longer while some wait for a destination.", nil, nil},
		{canaryResults, TypeCounter, "Canaries that this server has delivered, whoever has sent them: `returned` (written, read back and removed), `sent` (to a destination that can't be read back), `lost` (not taken, or not there afterwards), `late` (older than canary.timeout before they could be written) or `left` (they can't be removed: a person must).", []string{labelDestination, labelResult}, nil},
		{canarySeconds, TypeHistogram, "Time from the acceptance of a canary to the destination and back, of those that were `returned` or `sent`.", destination, lag},
		{canaryLastSuccess, TypeGauge, "When a canary came back from a destination last, or was sent there, as Unix time. Of several servers that share a queue, the largest counts.", destination, nil},
		{canaryWaiting, TypeGauge, "Canaries of this server that are on their way to a destination. From 100 on none is sent.", destination, nil},
		{canaryLostRuns, TypeGauge, "Canaries of this server in a row that have not come back from a destination in time. 0 while all is well.", destination, nil},
		{clockSteps, TypeCounter, "Times that the wall clock was set to another date and believed, or that it was found so at a start. No event ages by that.", nil, nil},
		{logDropped, TypeCounter, "Lines of the log that were dropped, because their reader stands still or is gone.", nil, nil},
		{diskFree, TypeGauge, "Bytes left on the disk of the data directory, for whoever is no superuser.", nil, nil},
		{jobsRunning, TypeGauge, "Jobs that a person has started and that have not ended, by `kind`: replay, backfill or purge.", []string{labelKind}, nil},
		{jobEvents, TypeCounter, "Events that jobs have worked on, by `kind`: dead letters of a replay, and events of a back-fill, that were `stored` or `refused`; and those of a back-fill that were `taken` from the queue, to be delivered as any other.", []string{labelKind, labelDestination, labelOutcome}, nil},
		{metricPushes, TypeCounter, "Pushes of all metrics to the receiver of `metrics.otlp`: `sent` or `failed`.", []string{labelResult}, nil},
		{alertsFiring, TypeGauge, "Built-in alerts that fire, by rule. Only where `alerts.receivers` or `alerts.heartbeat` are configured.", []string{labelAlert, labelSeverity}, nil},
		{alertMessages, TypeCounter, "Messages about alerts by `kind` of their receiver (`webhook`, `slack`, `email` or `pagerduty`): `sent` or `failed`. What has failed is sent again.", []string{labelKind, labelResult}, nil},
		{alertBeats, TypeCounter, "Requests to `alerts.heartbeat.url`: `sent` or `failed`.", []string{labelResult}, nil},
		{alertFailures, TypeCounter, "What could not be done about alerts: `values` (what is measured, or the history, was not read), `rule` (a condition can't be told, or more alerts fire than are kept) or `state` (it was not read or written).", []string{labelReason}, nil},
		{traceSpans, TypeCounter, "Spans of traces by what became of them: `sent`, `failed` (the receiver did not take them) or `dropped` (too many waited for it).", []string{labelResult}, nil},
		{buildInfo, TypeGauge, "Always 1; the labels say what runs.", []string{"version", "go"}, nil},
	}
}
