package source

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/ratelimit"
)

// By is whose events a limit counts together.
type By string

// Whose events are counted together. A limit of the server counts those of all sources.
const (
	ByServer  By = "server"
	BySource  By = "source"
	ByKey     By = "key"     // of each caller: an API key, a user
	ByAddress By = "address" // of each IPv4 address, and each IPv6 network of 64 bits
)

// Limit is how many events may come in.
type Limit struct {
	By By // BySource where empty
	ratelimit.Rate
	MaxClients int // that are remembered; ratelimit.DefaultMaxClients where 0
}

// networkBits are those of an IPv6 address that name a network: a client has the others for itself
// (RFC 6177, section 2).
const networkBits = 64

// limit is one of them, compiled.
type limit struct {
	by       By
	together *ratelimit.Bucket  // of all events, or
	each     *ratelimit.Clients // of each client
	policy   string             // the header RateLimit-Policy
	refusal  *protocol.Error
}

// limits are those of a source, those of everybody last: what one client may not send is taken from
// nobody else.
type limits struct {
	all       []limit
	policies  string // the header RateLimit-Policy
	addresses bool   // some count addresses
	seed      maphash.Seed
}

// newLimits returns nil for no limit.
func newLimits(settings *Settings, server *limit) *limits {
	l := &limits{seed: maphash.MakeSeed()}
	for _, by := range []By{ByAddress, ByKey, BySource} {
		for _, wanted := range settings.Limits {
			if wanted.PerSecond <= 0 || wanted.By != by && (wanted.By != "" || by != BySource) {
				continue
			}
			l.all = append(l.all, newLimit(wanted, by, settings.Name))
			l.addresses = l.addresses || by == ByAddress
		}
	}
	if server != nil {
		l.all = append(l.all, *server)
	}
	if len(l.all) == 0 {
		return nil
	}
	for i := range l.all {
		if i > 0 {
			l.policies += ", "
		}
		l.policies += l.all[i].policy
	}
	return l
}

// newLimit compiles a limit of a source.
func newLimit(wanted Limit, by By, source string) limit {
	made := limit{by: by}
	whose := "the source takes"
	switch by {
	case BySource:
		made.together = ratelimit.NewBucket(wanted.Rate)
	default:
		clients := wanted.MaxClients
		if clients <= 0 {
			clients = ratelimit.DefaultMaxClients
		}
		made.each = ratelimit.NewClients(wanted.Rate, clients)
		whose = "the source takes from each " + string(by)
	}
	return made.finish(wanted.Rate, http.StatusTooManyRequests, fmt.Sprintf(
		"%s %d events per second (sources.%s.rate); nothing was stored", whose, wanted.PerSecond, source))
}

// newServerLimit compiles the limit of all sources together, or returns nil for none. Reaching it is
// nobody's fault, so it is told as 503.
func newServerLimit(rate ratelimit.Rate) *limit {
	if rate.PerSecond <= 0 {
		return nil
	}
	made := limit{by: ByServer, together: ratelimit.NewBucket(rate)}
	made = made.finish(rate, http.StatusServiceUnavailable, fmt.Sprintf(
		"the server takes %d events per second (http.rate); nothing was stored", rate.PerSecond))
	return &made
}

// finish adds what clients are told. A client that sends no more than q events in each w seconds is
// within the limit (draft-ietf-httpapi-ratelimit-headers-10, section 3.1).
func (l limit) finish(rate ratelimit.Rate, status int, detail string) limit {
	burst := rate.Burst
	if burst <= 0 {
		burst = rate.PerSecond
	}
	window := max(1, int(math.Ceil(float64(burst)/float64(rate.PerSecond))))
	l.policy = fmt.Sprintf("%q;q=%d;w=%d", l.by, burst, window)
	l.refusal = &protocol.Error{Status: status, Detail: detail}
	return l
}

// sender is what limits know of the sender of a request.
type sender struct {
	address uint64 // hash of the network that it comes from
	caller  uint64 // hash of who it is
}

func (l *limits) id(by By, from *sender) uint64 {
	if by == ByAddress {
		return from.address
	}
	return from.caller
}

// network is the hash of what an address counts as. What is no address, as where a client comes by
// a socket of this machine, is one client.
func (l *limits) network(remote string) uint64 {
	address, err := netip.ParseAddr(remote)
	if err != nil {
		return 0
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		network, _ := address.Prefix(networkBits) // 64 is never too long
		address = network.Addr()
	}
	return maphash.Comparable(l.seed, address)
}

// from begins to know the sender. Nobody is told yet who it is.
func (l *limits) from(remote string) (known sender) {
	if l.addresses {
		known.address = l.network(remote)
	}
	return known
}

func (l *limits) setCaller(from *sender, caller string) { from.caller = maphash.String(l.seed, caller) }

func (l *limit) take(id uint64, now time.Duration, n int) time.Duration {
	if l.each != nil {
		return l.each.Take(id, now, n)
	}
	return l.together.Take(now, n)
}

func (l *limit) giveBack(id uint64, n int) {
	if l.each != nil {
		l.each.Return(id, n)
		return
	}
	l.together.Return(n)
}

func (l *limit) wait(id uint64, now time.Duration, n int) time.Duration {
	if l.each != nil {
		return l.each.Wait(id, now, n)
	}
	return l.together.Wait(now, n)
}

func (l *limit) level(id uint64, now time.Duration) ratelimit.Level {
	if l.each != nil {
		return l.each.Level(id, now)
	}
	return l.together.Level(now)
}

// look refuses a request before its body is read, where not even one event may come in. by are the
// limits that are asked: who a request is from is known later than where.
func (s *Source) look(from *sender, asked func(By) bool) error {
	now := s.elapsed()
	for i := range s.limits.all {
		if l := &s.limits.all[i]; asked(l.by) {
			if wait := l.wait(s.limits.id(l.by, from), now, 1); wait > 0 {
				return s.limited(l, from, now, wait)
			}
		}
	}
	return nil
}

func isOfCaller(by By) bool  { return by == ByKey }
func notOfCaller(by By) bool { return by != ByKey }

// take takes so many events from all limits, or from none. A batch that is larger than a bucket
// takes all of it: otherwise it could never be sent.
func (s *Source) take(from *sender, now time.Duration, events int) error {
	for i := range s.limits.all {
		l := &s.limits.all[i]
		wait := l.take(s.limits.id(l.by, from), now, events)
		if wait == 0 {
			continue
		}
		for j := range i {
			s.limits.all[j].giveBack(s.limits.id(s.limits.all[j].by, from), events)
		}
		return s.limited(l, from, now, wait)
	}
	return nil
}

// limited refuses a request that is over a limit.
func (s *Source) limited(l *limit, from *sender, now, wait time.Duration) error {
	s.metrics.Limited(string(l.by), 1)
	refused := *l.refusal
	refused.Header = s.quota(l, from, now).header()
	return &pillarbox.RetryAfterError{After: wait, Err: &refused}
}

// stranger counts a request that nobody may send, for its credential or its signature, as one event
// of its address: whoever guesses has no more tries than that.
func (s *Source) stranger(from *sender) {
	if s.limits == nil || !s.limits.addresses {
		return
	}
	now := s.elapsed()
	for i := range s.limits.all {
		if l := &s.limits.all[i]; l.by == ByAddress {
			l.take(from.address, now, 1)
		}
	}
}

// Quota is what a client is told of the limits: which there are, and how much is left of the one
// that it meets first. The zero value is none.
type Quota struct {
	policies string // of all limits
	by       By
	left     int
	full     int // seconds
}

// tightest is the quota of the limit that has the least left.
func (s *Source) tightest(from *sender, now time.Duration) Quota {
	tightest, left := 0, math.MaxInt
	for i := range s.limits.all {
		l := &s.limits.all[i]
		if level := l.level(s.limits.id(l.by, from), now); level.Left < left {
			tightest, left = i, level.Left
		}
	}
	return s.quota(&s.limits.all[tightest], from, now)
}

func (s *Source) quota(l *limit, from *sender, now time.Duration) Quota {
	level := l.level(s.limits.id(l.by, from), now)
	return Quota{policies: s.limits.policies, by: l.by, left: level.Left,
		full: int(math.Ceil(level.Full.Seconds()))}
}

// The headers of a quota (draft-ietf-httpapi-ratelimit-headers-10).
const (
	headerPolicy = "RateLimit-Policy"
	headerQuota  = "RateLimit"
)

// IsZero reports whether there is no limit to tell of.
func (q Quota) IsZero() bool { return q.policies == "" }

// AppendLines appends the header lines, each with its end; none where there is no limit.
func (q Quota) AppendLines(b []byte) []byte {
	if q.IsZero() {
		return b
	}
	b = append(append(append(b, headerPolicy+": "...), q.policies...), "\r\n"+headerQuota+": "...)
	return append(q.append(b), "\r\n"...)
}

// append appends the value of the header RateLimit.
func (q Quota) append(b []byte) []byte {
	b = append(append(append(b, '"'), q.by...), `";r=`...)
	b = append(strconv.AppendInt(b, int64(q.left), 10), ";t="...)
	return strconv.AppendInt(b, int64(q.full), 10)
}

// SetHeader adds the headers to an answer.
func (q Quota) SetHeader(to http.Header) {
	if !q.IsZero() {
		to.Set(headerPolicy, q.policies)
		to.Set(headerQuota, string(q.append(nil)))
	}
}

func (q Quota) header() http.Header {
	header := http.Header{}
	q.SetHeader(header)
	return header
}
