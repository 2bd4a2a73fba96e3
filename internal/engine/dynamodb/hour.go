package dynamodb

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// bounds are the values of TimeSort that a list may look at, both inclusive. They are never
// narrower than the filter, which decides for each key.
type bounds struct {
	low, high string
	begins    bool // low is more than the beginning of time
}

// The text of the earliest timestamp, and one behind that of the last, whatever the id.
const (
	lowestText  = "0000-01-01T00:00:00.000000Z"
	highestText = "9999-12-31T23:59:59.999999Z" + behindMark
	// behindMark is behind sortMark in the order of bytes.
	behindMark = "$"
)

// boundText is the text of a timestamp, or the nearest that there is.
func boundText(t pillarbox.Timestamp) string {
	if text, err := t.MarshalText(); err == nil {
		return string(text)
	}
	if t < 0 {
		return lowestText
	}
	return highestText
}

func (s *Store) boundsOf(filter pillarbox.EventFilter) bounds {
	within := bounds{low: lowestText, high: boundText(
		pillarbox.TimestampOf(s.options.Now().Add(ahead)))}
	if filter.Since != 0 {
		within.low, within.begins = boundText(filter.Since), true
	}
	if filter.Until != 0 {
		within.high = boundText(filter.Until)
	}
	if filter.After == (pillarbox.Key{}) {
		return within
	}
	from, to := sortOf(filter.After), sortOf(filter.After)
	if checkKey(filter.After) != nil { // DynamoDB would not take it in a condition
		from, to = boundText(filter.After.Timestamp), boundText(filter.After.Timestamp)+behindMark
	}
	if filter.Newest {
		within.high = min(within.high, to)
	} else {
		within.low, within.begins = max(within.low, from), true
	}
	return within
}

func (b bounds) first() time.Time { return hourOf(b.low) }
func (b bounds) last() time.Time  { return hourOf(b.high) }

func hourOf(text string) time.Time {
	hour, err := time.Parse(hourLayout, text[:len(hourLayout)])
	if err != nil {
		panic("pillarbox: bug: a bound that is no timestamp: " + text)
	}
	return hour
}

// hours is how many hours the bounds touch.
func (b bounds) hours() int {
	if !b.begins {
		return int(^uint(0) >> 1)
	}
	return int((b.last().Unix()-b.first().Unix())/3600) + 1
}

// from narrows the bounds to the hour and what comes behind it in the order of the list.
func (b bounds) from(hour time.Time, newest bool) bounds {
	if newest {
		b.high = min(b.high, hour.Add(time.Hour).Format(hourLayout))
	} else {
		b.low = max(b.low, hour.Format(hourLayout))
	}
	return b
}

// listHour adds what one hour of the index has, and returns how many events it saw.
func (s *Store) listHour(ctx context.Context, to *page, within bounds,
	hour time.Time) (int, error) {
	streams := make([]*stream, s.options.Shards)
	errs := make([]error, len(streams))
	for shard := range streams {
		streams[shard] = s.newStream(to, within, bucketOf(hour.Format(hourLayout), shard))
	}
	inParallel(len(streams), len(streams), func(shard int) { errs[shard] = streams[shard].fill(ctx) })
	if err := joined(errs); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		nearest := nearestOf(streams, to.filter.Newest)
		if nearest == nil {
			return n, to.flush(ctx)
		}
		if done, err := to.add(ctx, nearest.take()); done || err != nil {
			return n, err
		}
		if err := nearest.fill(ctx); err != nil {
			return n, err
		}
	}
}

// nearestOf returns the stream whose next event comes first, or nil where all have ended.
func nearestOf(streams []*stream, newest bool) *stream {
	var nearest *stream
	for _, s := range streams {
		if len(s.buffer) > 0 && (nearest == nil ||
			compareKeys(s.buffer[0].key, nearest.buffer[0].key, newest) < 0) {
			nearest = s
		}
	}
	return nearest
}

// stream is one part of one hour, in the order of the list.
type stream struct {
	to     *page
	in     dynamodb.QueryInput
	buffer []candidate
	ended  bool // nothing comes behind the buffer
}

func (s *Store) newStream(to *page, within bounds, bucket string) *stream {
	filter := to.filter
	in := dynamodb.QueryInput{
		TableName: &s.table, IndexName: &s.options.Index, ScanIndexForward: aws.Bool(!filter.Newest),
		KeyConditionExpression:   aws.String("#b = :b AND #s BETWEEN :low AND :high"),
		ExpressionAttributeNames: map[string]string{"#b": nameTimeBucket, "#s": nameTimeSort},
		ExpressionAttributeValues: map[string]types.AttributeValue{":b": str(bucket),
			":low": str(within.low), ":high": str(within.high)},
	}
	if filter.RequestID != "" {
		in.FilterExpression = aws.String("#r = :r")
		in.ExpressionAttributeNames["#r"], in.ExpressionAttributeValues[":r"] = nameRequestID, str(
			filter.RequestID)
	} else { // the shards share what is wanted, more or less
		in.Limit = aws.Int32(int32(filter.Limit/s.options.Shards + 16))
	}
	return &stream{to: to, in: in, ended: within.low > within.high}
}

// fill reads pages until there is a next event or the stream has ended.
func (s *stream) fill(ctx context.Context) error {
	for len(s.buffer) == 0 && !s.ended {
		if err := s.to.goOn(ctx); err != nil {
			return err
		}
		out, err := s.to.client.Query(ctx, &s.in)
		if err != nil {
			return err
		}
		for _, i := range out.Items {
			key, err := decodeKey(i)
			if err != nil {
				if s.to.passOver(err) {
					continue
				}
				return err
			}
			c := candidate{key: key}
			if i[nameStoredAt] != nil { // the index holds everything, not only keys
				c.item = i
			}
			s.buffer = append(s.buffer, c)
		}
		s.in.ExclusiveStartKey = out.LastEvaluatedKey
		s.ended = len(out.LastEvaluatedKey) == 0
	}
	return nil
}

// take returns the next event. There is one.
func (s *stream) take() candidate {
	next := s.buffer[0]
	s.buffer = s.buffer[1:]
	return next
}

// nearMicroseconds is how far the time of an event may be from the time in its id for the event to
// be looked for there first.
const nearMicroseconds = 250_000

// timesNear returns between which times an event with this UUIDv7 is expected, the second of them
// exclusive.
func timesNear(requestID string) (since, until pillarbox.Timestamp, ok bool) {
	const length, version = 36, 14
	if len(requestID) != length || requestID[version] != '7' || requestID[8] != '-' ||
		requestID[13] != '-' {
		return 0, 0, false
	}
	var milliseconds [6]byte
	if _, err := hex.Decode(milliseconds[:], []byte(requestID[:8]+requestID[9:13])); err != nil {
		return 0, 0, false
	}
	at := pillarbox.Timestamp(0)
	for _, b := range milliseconds {
		at = at<<8 | pillarbox.Timestamp(b)
	}
	at *= 1000
	if _, err := (at + nearMicroseconds).MarshalText(); err != nil {
		return 0, 0, false
	}
	return max(at-nearMicroseconds, 1), at + nearMicroseconds, true // 0 would be no bound
}
