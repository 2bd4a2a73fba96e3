package adminclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"pillarbox/internal/adminapi"

	"pillarbox"
)

// FollowEvents calls fn with each event that is stored, until ctx ends or fn returns an error,
// which it returns. With a cursor or Since it begins with what is stored already. cursor is where
// to go on from later. A reader that was too slow for the server goes on where it was. When the
// server ends the stream because it stops, the error is ErrUnavailable; FollowOn goes on then.
// Until, Limit and Newest are not possible.
func (c *Client) FollowEvents(ctx context.Context, q adminapi.EventQuery,
	fn func(event *pillarbox.Event, cursor string) error) error {
	for {
		lagged, err := c.followOnce(ctx, &q, func() {}, fn)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case !lagged:
			return c.streamEnded()
		}
	}
}

func (c *Client) streamEnded() error {
	return fmt.Errorf("the server at %s ended the stream: %w", c.name, pillarbox.ErrUnavailable)
}

// followOnce follows one stream, from the cursor on, which it moves. connected is called when the
// server has taken it.
func (c *Client) followOnce(ctx context.Context, q *adminapi.EventQuery, connected func(),
	fn func(event *pillarbox.Event, cursor string) error) (lagged bool, err error) {
	values := eventValues(*q)
	values.Set("follow", "true")
	request, err := c.request(ctx, http.MethodGet, "/api/v1/events", values, nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("Accept", adminapi.TypeEventStream)
	response, err := c.do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	connected()
	messages := &messageReader{lines: bufio.NewReader(response.Body)}
	for {
		message, err := messages.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("follow events of %s (%w): %w", c.name, err, pillarbox.ErrUnavailable)
		}
		switch message.event {
		case adminapi.StreamLagged:
			return true, nil
		case adminapi.StreamFailed:
			return false, streamProblem(message.data)
		case adminapi.StreamEvent:
			event := new(pillarbox.Event)
			if err := json.Unmarshal([]byte(message.data), event); err != nil {
				return false, fmt.Errorf("follow events of %s: %w", c.name, err)
			}
			q.Cursor = message.id
			if err := fn(event, message.id); err != nil {
				return false, err
			}
		}
	}
}

func streamProblem(data string) error {
	problem := new(ProblemError)
	if err := json.Unmarshal([]byte(data), &problem.Problem); err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	return problem
}

// message is one server-sent event.
type message struct {
	event, id, data string
}

// messageReader reads the part of the format of server-sent events that this server writes: every
// field on one line, with a space behind the colon.
type messageReader struct {
	lines *bufio.Reader
}

// next returns the next message, without the comments before it. The end between messages is
// io.EOF.
func (r *messageReader) next() (message, error) {
	var read message
	size := 0
	for {
		line, err := r.line(MaxAnswerBytes - size)
		if err != nil {
			return message{}, err
		}
		size += len(line)
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "event":
			read.event = value
		case "id":
			read.id = value
		case "data":
			read.data = value
		case "":
			if line == "" && read != (message{}) {
				return read, nil
			}
			if line == "" {
				size = 0
			}
		}
	}
}

// line reads up to the line feed. A last line without one was cut off.
func (r *messageReader) line(limit int) (string, error) {
	var line strings.Builder
	for {
		part, err := r.lines.ReadSlice('\n')
		line.Write(part)
		switch {
		case err == nil:
			return strings.TrimSuffix(line.String(), "\n"), nil
		case errors.Is(err, io.EOF) && line.Len() > 0:
			return "", io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		case line.Len() > limit:
			return "", fmt.Errorf("a message is over the limit of %d bytes: %w", MaxAnswerBytes,
				pillarbox.ErrTooLarge)
		}
	}
}
