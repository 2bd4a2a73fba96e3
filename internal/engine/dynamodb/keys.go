package dynamodb

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// KeysAPI is what Keys use of the SDK's client.
type KeysAPI interface {
	PutItem(ctx context.Context, in *dynamodb.PutItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	GetItem(ctx context.Context, in *dynamodb.GetItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput,
		options ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// ClaimFor is how long a claim holds that nobody settles: its holder is taken for dead then, and the
// outcome of its append for unknown. It is longer than any request lives: a function has 30 s behind
// a gateway, and a server ends an append at its write timeout.
const ClaimFor = 2 * time.Minute

// keyCalls is how many keys of one call are asked for at a time.
const keyCalls = 16

// The attributes of an item of the table of keys that whoever makes it has to know.
const (
	KeysPartitionKey = "Key"       // a text: the digest in base64 without padding, URL alphabet
	KeysTimeToLive   = "ExpiresAt" // seconds since 1970
)

// The attributes of an item of the table of keys.
const (
	keyAttribute         = KeysPartitionKey
	fingerprintAttribute = "Fingerprint"  // of the content, in hexadecimal digits
	stateAttribute       = "State"        // one of the states below
	holderAttribute      = "Holder"       // of the claim; another one for each
	claimedAttribute     = "ClaimedUntil" // seconds since 1970
	expiresAttribute     = KeysTimeToLive
)

// The states of an item.
const (
	inFlightState = "in_flight"
	unknownState  = "unknown"
	doneState     = "done"
)

// KeysOptions are what OpenKeys may be told. The zero value is fine.
type KeysOptions struct {
	Window time.Duration    // for which keys are remembered; 0 is pillarbox.DefaultKeyWindow
	Now    func() time.Time // nil is time.Now
}

// Keys remembers idempotency keys in a table of its own, for all that share it. It promises what
// pillarbox.Keys says, by conditional writes alone: a claim is an item before anything is appended,
// with the stamp that its event gets, so that whoever takes over the claim of a dead holder uses the
// same one. It does not bound their number; items go when the table's time to live on ExpiresAt
// says so, and are not believed any more before that.
//
// Claiming costs a write for each key, and another one settling it; a key that is known costs a
// read besides.
type Keys struct {
	client KeysAPI
	table  string
	window atomic.Int64 // nanoseconds
	now    func() time.Time

	mu      sync.Mutex
	holders map[[16]byte]string // of what is claimed here and not settled
}

var _ pillarbox.Keys = (*Keys)(nil)

// OpenKeys makes the store without asking the table anything; Check does that. Errors: ErrInvalid.
func OpenKeys(client KeysAPI, table string, options KeysOptions) (*Keys, error) {
	if client == nil || table == "" {
		return nil, pillarbox.Invalid("a table of idempotency keys needs a client and a name")
	}
	k := &Keys{client: client, table: table, now: options.Now, holders: map[[16]byte]string{}}
	if k.now == nil {
		k.now = time.Now
	}
	k.SetWindow(options.Window)
	return k, nil
}

// SetWindow changes for how long keys are remembered, from the next one on; 0 takes the default.
func (k *Keys) SetWindow(window time.Duration) {
	if window <= 0 {
		window = pillarbox.DefaultKeyWindow
	}
	k.window.Store(int64(window))
}

// Check asks DynamoDB whether the table is there and has the key that is needed. The errors are
// those of Store.Check.
func (k *Keys) Check(ctx context.Context) error {
	out, err := k.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &k.table})
	switch {
	case code(err) == "ResourceNotFoundException":
		return fmt.Errorf("check table %s: %w: %s: %w", k.table, pillarbox.ErrNotFound, advice(err), err)
	case err != nil:
		return k.failed(ctx, err)
	case out.Table == nil:
		return fmt.Errorf("check table %s: an answer without a table: %w", k.table, pillarbox.ErrUnavailable)
	}
	schema := out.Table.KeySchema
	if len(schema) != 1 || deref(schema[0].AttributeName) != keyAttribute {
		return pillarbox.Invalid("check table %s: the table of idempotency keys has one key, %s (HASH S), and no other", k.table, keyAttribute)
	}
	return nil
}

func (k *Keys) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("idempotency keys in table %s: %w: %s: %w", k.table, pillarbox.ErrUnavailable, advice(err), err)
}

// record is an item of the table.
type record struct {
	claim   pillarbox.KeyClaim // key, fingerprint and stamp
	state   string
	holder  string
	claimed int64
	expires int64
}

// Claim implements pillarbox.Keys. Keys of one call are claimed in parallel; the second of two that
// are the same is in flight, or a mismatch, without a question.
func (k *Keys) Claim(ctx context.Context, claims []pillarbox.KeyClaim) {
	first := map[[16]byte]int{}
	var asked []int
	for i := range claims {
		c := &claims[i]
		if c.IsZero() {
			continue
		}
		if at, twice := first[c.Key]; twice {
			if c.State = pillarbox.KeyInFlight; claims[at].Fingerprint != c.Fingerprint {
				c.State = pillarbox.KeyMismatch
			}
			continue
		}
		first[c.Key] = i
		asked = append(asked, i)
	}
	if len(asked) > 0 {
		inParallel(len(asked), keyCalls, func(i int) { k.claim(ctx, &claims[asked[i]]) })
	}
}

// claim claims one key.
func (k *Keys) claim(ctx context.Context, c *pillarbox.KeyClaim) {
	now := k.now()
	mine := record{claim: *c, state: inFlightState, holder: newHolder(),
		claimed: now.Add(ClaimFor).Unix(), expires: now.Add(ClaimFor + time.Duration(k.window.Load())).Unix()}
	// a key whose window is over is as good as gone, whenever DynamoDB takes it away
	won, known, err := k.win(ctx, &mine, "attribute_not_exists(#key) OR #expires < :now", map[string]types.AttributeValue{":now": number(now.Unix())})
	switch {
	case err != nil:
		k.refuse(ctx, c, err)
		return
	case won:
		c.State = pillarbox.KeyNew
		k.hold(c.Key, mine.holder)
	case known == nil: // it went meanwhile
		c.State = pillarbox.KeyInFlight
	default:
		k.meet(ctx, c, known, mine)
	}
}

// win writes a claim if the condition holds, or says what is there. A claim of this very holder is
// one that was written before, by a call whose answer was lost.
func (k *Keys) win(ctx context.Context, mine *record, condition string,
	values map[string]types.AttributeValue) (won bool, known *record, err error) {
	if won, err = k.put(ctx, mine, condition, values); won || err != nil {
		return won, nil, err
	}
	known, err = k.get(ctx, mine.claim.Key)
	return known != nil && known.holder == mine.holder, known, err
}

func (k *Keys) refuse(ctx context.Context, c *pillarbox.KeyClaim, err error) {
	c.State, c.Err = pillarbox.KeyRefused, k.failed(ctx, err)
}

// meet answers a claim for a key that is known.
func (k *Keys) meet(ctx context.Context, c *pillarbox.KeyClaim, known *record, mine record) {
	dead := known.state == inFlightState && known.claimed < k.now().Unix()
	switch {
	case known.claim.Fingerprint != c.Fingerprint:
		c.State = pillarbox.KeyMismatch
		return
	case known.state == doneState:
		c.State, c.Timestamp, c.RequestID = pillarbox.KeyDone, known.claim.Timestamp, known.claim.RequestID
		return
	case known.state == inFlightState && !dead:
		c.State = pillarbox.KeyInFlight
		return
	}
	// The outcome of the append before is not known: it is done again with its stamp.
	mine.claim.Timestamp, mine.claim.RequestID = known.claim.Timestamp, known.claim.RequestID
	won, _, err := k.win(ctx, &mine, sameClaim, map[string]types.AttributeValue{":before": text(known.holder), ":state": text(known.state)})
	switch {
	case err != nil:
		k.refuse(ctx, c, err)
	case won:
		c.State, c.Timestamp, c.RequestID = pillarbox.KeyAgain, known.claim.Timestamp, known.claim.RequestID
		k.hold(c.Key, mine.holder)
	default:
		c.State = pillarbox.KeyInFlight
	}
}

func (k *Keys) hold(key [16]byte, holder string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holders[key] = holder
}

// release returns who holds a key here, and forgets it.
func (k *Keys) release(key [16]byte) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	holder := k.holders[key]
	delete(k.holders, key)
	return holder
}

// Settle implements pillarbox.Keys. A claim that somebody has taken over is left to them.
func (k *Keys) Settle(ctx context.Context, claims []pillarbox.KeyClaim) error {
	var mine []int
	for i := range claims {
		if claims[i].State.Claimed() {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	errs := make([]error, len(mine))
	inParallel(len(mine), keyCalls, func(i int) {
		if err := k.settle(ctx, &claims[mine[i]]); err != nil {
			errs[i] = k.failed(ctx, err)
		}
	})
	return joined(errs)
}

func (k *Keys) settle(ctx context.Context, c *pillarbox.KeyClaim) (err error) {
	held := k.release(c.Key)
	if held == "" {
		return nil
	}
	condition, values := sameClaim, map[string]types.AttributeValue{":before": text(held), ":state": text(inFlightState)}
	settled := record{claim: *c, state: doneState, holder: held, expires: k.now().Add(time.Duration(k.window.Load())).Unix()}
	switch {
	case c.Outcome == pillarbox.KeyStored:
	case c.Outcome == pillarbox.KeyUnknown || c.State == pillarbox.KeyAgain:
		settled.state = unknownState
	default:
		_, err = k.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &k.table, Key: digestItem(c.Key),
			ConditionExpression: &condition, ExpressionAttributeNames: namesOfClaim, ExpressionAttributeValues: values})
		if code(err) == conditionFailed {
			err = nil
		}
		return err
	}
	_, err = k.put(ctx, &settled, condition, values)
	return err
}

// KeyStats implements pillarbox.Keys. How many keys there are, only a scan could tell.
func (k *Keys) KeyStats() pillarbox.KeyStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return pillarbox.KeyStats{Window: int64(time.Duration(k.window.Load()) / time.Second), InFlight: len(k.holders)}
}

// Close implements io.Closer. Nothing is held open.
func (k *Keys) Close() error { return nil }

// sameClaim holds while nobody has settled a claim or taken it over.
const sameClaim = "#holder = :before AND #state = :state"

var namesOfClaim = map[string]string{"#holder": holderAttribute, "#state": stateAttribute}

// conditionFailed is DynamoDB's name of a write whose condition does not hold.
const conditionFailed = "ConditionalCheckFailedException"

// put writes an item if the condition holds, and reports whether it does.
func (k *Keys) put(ctx context.Context, r *record, condition string, values map[string]types.AttributeValue) (won bool, err error) {
	names := namesOfClaim
	if _, new := values[":now"]; new {
		names = map[string]string{"#key": keyAttribute, "#expires": expiresAttribute}
	}
	_, err = k.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &k.table, Item: r.item(),
		ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	if code(err) == conditionFailed {
		return false, nil
	}
	return err == nil, err
}

// get reads the item of a key as it is now; nil for none.
func (k *Keys) get(ctx context.Context, key [16]byte) (*record, error) {
	consistent := true
	out, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: digestItem(key), ConsistentRead: &consistent})
	if err != nil || len(out.Item) == 0 {
		return nil, err
	}
	return readRecord(out.Item)
}

func newHolder() string {
	var id [12]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func number(value int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
}

func digestItem(key [16]byte) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{keyAttribute: text(base64.RawURLEncoding.EncodeToString(key[:]))}
}

func (r *record) item() map[string]types.AttributeValue {
	item := digestItem(r.claim.Key)
	item[fingerprintAttribute] = text(strconv.FormatUint(r.claim.Fingerprint, 16))
	item[nameTimestamp], item[nameRequestID] = text(r.claim.Timestamp.String()), text(r.claim.RequestID)
	item[stateAttribute], item[holderAttribute] = text(r.state), text(r.holder)
	item[claimedAttribute], item[expiresAttribute] = number(r.claimed), number(r.expires)
	return item
}

// readRecord reads an item. Errors: ErrCorrupt, for one that nobody here has written.
func readRecord(item map[string]types.AttributeValue) (*record, error) {
	r := &record{state: plainText(item[stateAttribute]), holder: plainText(item[holderAttribute])}
	r.claim.RequestID = plainText(item[nameRequestID])
	fingerprint, err := strconv.ParseUint(plainText(item[fingerprintAttribute]), 16, 64)
	claimed, failed := strconv.ParseInt(numberOf(item[claimedAttribute]), 10, 64)
	bad := r.claim.Timestamp.UnmarshalText([]byte(plainText(item[nameTimestamp])))
	known := r.state == inFlightState || r.state == unknownState || r.state == doneState
	if err := errors.Join(err, failed, bad); err != nil {
		return nil, fmt.Errorf("an item of the table of keys can't be read: %w: %w", err, pillarbox.ErrCorrupt)
	}
	if !known || r.holder == "" || r.claim.RequestID == "" {
		return nil, fmt.Errorf("an item of the table of keys has no state, holder or request id: %w", pillarbox.ErrCorrupt)
	}
	r.claim.Fingerprint, r.claimed = fingerprint, claimed
	return r, nil
}

func plainText(value types.AttributeValue) string {
	if s, ok := value.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func numberOf(value types.AttributeValue) string {
	if n, ok := value.(*types.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}
