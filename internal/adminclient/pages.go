package adminclient

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/held"
)

// A server ends a page early where what is on it is large. The methods here go on until q.Limit
// items were visited (0 is pillarbox.DefaultListLimit; there may be more than fit on a page) or
// there are no more, and hold one page at a time. They return where to go on, which is empty where
// nothing is left, and the first error of visit.

// EachEvent calls visit with the events that Events would list, and broken with what is said of
// rows that are no events.
func (c *Client) EachEvent(ctx context.Context, q adminapi.EventQuery,
	visit func(*pillarbox.Event) error, broken func(string)) (next string, err error) {
	return eachPage(q.Cursor, q.Limit, visit,
		func(cursor string, limit int) ([]*pillarbox.Event, string, error) {
			q.Cursor, q.Limit = cursor, limit
			page, err := c.Events(ctx, q)
			if err != nil {
				return nil, "", err
			}
			for _, text := range page.Unreadable {
				broken(text)
			}
			return page.Events, page.NextCursor, nil
		})
}

// EachDeadLetter calls visit with the letters that DeadLetters would list, and broken with what is
// said of those that can't be read.
func (c *Client) EachDeadLetter(ctx context.Context, q adminapi.DeadLetterQuery,
	visit func(*pillarbox.DeadLetter) error, broken func(string)) (next string, err error) {
	return eachPage(q.Cursor, q.Limit, visit,
		func(cursor string, limit int) ([]*pillarbox.DeadLetter, string, error) {
			q.Cursor, q.Limit = cursor, limit
			page, err := c.DeadLetters(ctx, q)
			if err != nil {
				return nil, "", err
			}
			for _, text := range page.Unreadable {
				broken(text)
			}
			return page.DeadLetters, page.NextCursor, nil
		})
}

// EachHeld calls visit with the events that Held would list.
func (c *Client) EachHeld(ctx context.Context, q HeldQuery,
	visit func(held.Item) error) (next string, err error) {
	return eachPage(q.Cursor, q.Limit, visit,
		func(cursor string, limit int) ([]held.Item, string, error) {
			q.Cursor, q.Limit = cursor, limit
			page, err := c.Held(ctx, q)
			if err != nil {
				return nil, "", err
			}
			return page.Held, page.NextCursor, nil
		})
}

// eachPage goes over pages until limit items were visited.
func eachPage[T any](cursor string, limit int, visit func(T) error,
	read func(cursor string, limit int) (items []T, next string, err error)) (string, error) {
	if limit == 0 {
		limit = pillarbox.DefaultListLimit
	}
	for {
		items, next, err := read(cursor, min(limit, pillarbox.MaxListLimit))
		if err != nil {
			return "", err
		}
		for _, item := range items {
			if err := visit(item); err != nil {
				return "", err
			}
		}
		limit -= len(items)
		switch {
		case next == "" || limit <= 0:
			return next, nil
		case next == cursor:
			return "", fmt.Errorf("the server gives the cursor %q again and again: %w", next,
				pillarbox.ErrUnavailable)
		}
		cursor = next
	}
}
