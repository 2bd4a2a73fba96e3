package dynamodb_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakedynamo"
)

const keysTable = "keys"

// keyBench is a table of keys, and a time that is moved.
type keyBench struct {
	server *fakedynamo.Server
	client *awsdynamodb.Client
	at     atomic.Int64
}

func newKeyBench(t testing.TB) *keyBench {
	t.Helper()
	b := &keyBench{server: fakedynamo.New(nil)}
	b.at.Store(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).UnixNano())
	b.client = newClient(t, b.server.Start(t))
	_, err := b.client.CreateTable(t.Context(), &awsdynamodb.CreateTableInput{TableName: aws.String(keysTable),
		BillingMode: types.BillingModePayPerRequest, AttributeDefinitions: define("Key"),
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("Key"), KeyType: types.KeyTypeHash}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *keyBench) open(t testing.TB, window time.Duration) *dynamodb.Keys {
	t.Helper()
	keys, err := dynamodb.OpenKeys(b.client, keysTable, dynamodb.KeysOptions{Window: window,
		Now: func() time.Time { return time.Unix(0, b.at.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeysKeepTheContract(t *testing.T) {
	enginetest.Keys(t, func(t *testing.T) enginetest.KeysStand {
		return enginetest.KeysStand{Keys: newKeyBench(t).open(t, 0)}
	})
}

func claimed(c pillarbox.KeyClaim) []pillarbox.KeyClaim { return []pillarbox.KeyClaim{c} }

func keyClaim(stamp int) pillarbox.KeyClaim {
	c := pillarbox.KeyClaim{Timestamp: pillarbox.Timestamp(1_790_000_000_000_000 + stamp), RequestID: string(rune('a' + stamp))}
	c.Key[0], c.Fingerprint = 1, 7
	return c
}

func ask(t *testing.T, keys *dynamodb.Keys, stamp int, state pillarbox.KeyState, gets int) []pillarbox.KeyClaim {
	t.Helper()
	c := claimed(keyClaim(stamp))
	keys.Claim(t.Context(), c)
	want := keyClaim(gets)
	if c[0].State != state || c[0].RequestID != want.RequestID || c[0].Timestamp != want.Timestamp {
		t.Fatalf("%+v, want state %d with stamp %d", c[0], state, gets)
	}
	return c
}

func settle(t *testing.T, keys *dynamodb.Keys, c []pillarbox.KeyClaim, outcome pillarbox.KeyOutcome) {
	t.Helper()
	c[0].Outcome = outcome
	if err := keys.Settle(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestClaimOfTheDead: a claim that nobody settles ends, and whoever takes it over uses its stamp; who
// was slow and not dead takes nothing back from them.
func TestClaimOfTheDead(t *testing.T) {
	b := newKeyBench(t)
	slow, other := b.open(t, time.Hour), b.open(t, time.Hour)
	first := ask(t, slow, 1, pillarbox.KeyNew, 1)
	ask(t, other, 2, pillarbox.KeyInFlight, 2)
	b.at.Add(int64(dynamodb.ClaimFor))
	ask(t, other, 2, pillarbox.KeyInFlight, 2)
	b.at.Add(int64(time.Second))
	again := ask(t, other, 2, pillarbox.KeyAgain, 1)
	settle(t, slow, first, pillarbox.KeyFree) // it was taken over
	ask(t, slow, 3, pillarbox.KeyInFlight, 3)
	settle(t, other, again, pillarbox.KeyStored)
	ask(t, slow, 3, pillarbox.KeyDone, 1)

	// The slow one is done while the other one takes over: it stays done.
	b = newKeyBench(t)
	slow, other = b.open(t, time.Hour), b.open(t, time.Hour)
	first = ask(t, slow, 1, pillarbox.KeyNew, 1)
	b.at.Add(int64(dynamodb.ClaimFor + time.Second))
	settle(t, slow, first, pillarbox.KeyStored)
	ask(t, other, 2, pillarbox.KeyDone, 1)
}

// TestKeysEndWithTheirWindow, whether or not DynamoDB has taken them away by then.
func TestKeysEndWithTheirWindow(t *testing.T) {
	b := newKeyBench(t)
	keys := b.open(t, time.Hour)
	settle(t, keys, ask(t, keys, 1, pillarbox.KeyNew, 1), pillarbox.KeyStored)
	b.at.Add(int64(time.Hour))
	ask(t, keys, 2, pillarbox.KeyDone, 1)
	b.at.Add(int64(time.Second))
	settle(t, keys, ask(t, keys, 2, pillarbox.KeyNew, 2), pillarbox.KeyStored)
	ask(t, keys, 3, pillarbox.KeyDone, 2)
	if stats := keys.KeyStats(); stats.Window != 3600 || stats.InFlight != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestTableOfKeysIsAway: nothing is claimed then, and whoever asks is told to come again.
func TestTableOfKeysIsAway(t *testing.T) {
	b := newKeyBench(t)
	keys := b.open(t, 0)
	if err := keys.Check(t.Context()); err != nil {
		t.Errorf("the table is right: %v", err)
	}
	b.server.Refuse(awsjson.ErrAccessDenied, "PutItem")
	c := claimed(keyClaim(1))
	if keys.Claim(t.Context(), c); c[0].State != pillarbox.KeyRefused || !errors.Is(c[0].Err, pillarbox.ErrUnavailable) {
		t.Errorf("without rights: %+v", c[0])
	}
	missing, err := dynamodb.OpenKeys(b.client, "nowhere", dynamodb.KeysOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := missing.Check(t.Context()); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("a table that is not there: %v", err)
	}
	createTable(t, b.client, "other", "")
	wrong, err := dynamodb.OpenKeys(b.client, "other", dynamodb.KeysOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := wrong.Check(t.Context()); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("a table with other keys: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c = claimed(keyClaim(2))
	if keys.Claim(ended, c); c[0].State != pillarbox.KeyRefused {
		t.Errorf("with a context that has ended: %+v", c[0])
	}
	if _, err := dynamodb.OpenKeys(nil, "keys", dynamodb.KeysOptions{}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("no client: %v", err)
	}
}

// lossy is a client whose first answer to each write is lost, and which sends it again.
type lossy struct{ *awsdynamodb.Client }

func (l lossy) PutItem(ctx context.Context, in *awsdynamodb.PutItemInput,
	options ...func(*awsdynamodb.Options)) (*awsdynamodb.PutItemOutput, error) {
	if _, err := l.Client.PutItem(ctx, in, options...); err != nil {
		return nil, err
	}
	return l.Client.PutItem(ctx, in, options...)
}

// TestClaimWhoseAnswerIsLost is a claim all the same: a write that is sent again finds its own item.
func TestClaimWhoseAnswerIsLost(t *testing.T) {
	b := newKeyBench(t)
	keys, err := dynamodb.OpenKeys(lossy{b.client}, keysTable, dynamodb.KeysOptions{
		Now: func() time.Time { return time.Unix(0, b.at.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, keys, ask(t, keys, 1, pillarbox.KeyNew, 1), pillarbox.KeyUnknown)
	settle(t, keys, ask(t, keys, 2, pillarbox.KeyAgain, 1), pillarbox.KeyStored)
	ask(t, keys, 3, pillarbox.KeyDone, 1)
}
