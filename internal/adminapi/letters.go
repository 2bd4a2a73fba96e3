package adminapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"pillarbox/internal/protocol"

	"pillarbox"
)

// letterRoutes are for dead letters.
var letterRoutes = []apiRoute{
	{
		method: http.MethodGet, path: "/api/v1/dead-letters", answers: []int{200, 400,
			503}, handle: (*Handler).letters,
		params: []string{"destination", "source", "since", "until", "error", "cause", "id", "resolved", "limit",
			"cursor"},
	},
	{
		method: http.MethodGet, path: "/api/v1/dead-letters/{request_id}", answers: []int{200, 400, 404,
			409, 503}, handle: (*Handler).letter,
		params: []string{"destination"},
	},
	{
		method: http.MethodPost, path: "/api/v1/dead-letters/{request_id}/discard", scope: ScopeAdmin, act: "dead_letter.discard", answers: []int{200,
			400, 404, 409, 503, 507}, handle: (*Handler).discard,
		params: []string{"destination"},
	},
}

func (a *Handler) letters(w http.ResponseWriter, r *apiRequest) error {
	q := r.query
	filter := pillarbox.DeadLetterFilter{
		Destination: q.text("destination"), Source: q.text("source"), Error: q.text(
			"error"), Cause: q.text("cause"), Resolved: q.flag("resolved"),
	}
	if id := q.text("id"); id != "" {
		filter.RequestIDs = []string{id}
	}
	filter.Since, filter.Until = q.span()
	limit := q.limit()
	after, err := parseLetterPlace(q.text("cursor"))
	if err != nil {
		q.refuse(err)
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := a.letterPage(r.Context(), filter, after, limit)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, page)
	return nil
}

// maxUnreadable bounds how many letters or rows that can't be read a page names.
const maxUnreadable = pillarbox.MaxUnreadable

// letterPage fills a page with what is behind the place.
func (a *Handler) letterPage(ctx context.Context, filter pillarbox.DeadLetterFilter,
	after *letterPlace, limit int) (*DeadLetterPage, error) {
	if after != nil {
		filter.After = after.place()
	}
	page := &DeadLetterPage{DeadLetters: []*pillarbox.DeadLetter{}, Unreadable: []string{}}
	size, named := 0, 0
	for letter, err := range a.node.DeadLetters(ctx, filter) {
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, pillarbox.ErrClosed) ||
				errors.Is(err, pillarbox.ErrUnavailable) {
				return nil, err
			}
			if len(page.Unreadable) < maxUnreadable {
				page.Unreadable = append(page.Unreadable, err.Error())
			}
			continue
		}
		if len(page.DeadLetters) == limit || size >= maxPageBytes {
			page.NextCursor = placeOf(page.DeadLetters[len(page.DeadLetters)-1]).cursor()
			page.Unreadable = page.Unreadable[:named] // the others are met again on the next page
			break
		}
		size += eventBytes(letter.Event) + len(letter.Attempts)*pillarbox.MaxAttemptError
		page.DeadLetters, named = append(page.DeadLetters, letter), len(page.Unreadable)
	}
	return page, ctx.Err()
}

// letterPlace is the place of a letter in the order of the list: day of death, key, destination.
type letterPlace struct {
	Day         string `json:"d"`
	Event       string `json:"e"` // timestamp and id
	Destination string `json:"n"`
}

const dayLayout = "2006-01-02"

func placeOf(letter *pillarbox.DeadLetter) letterPlace {
	return letterPlace{
		Day: letter.DeadAt.String()[:len(dayLayout)], Event: letter.Event.Timestamp.String() + letter.Event.RequestID,
		Destination: letter.Destination,
	}
}

// place was parsed before.
func (p letterPlace) place() pillarbox.DeadLetterPosition {
	day, _ := time.Parse(dayLayout, p.Day)
	key, _ := parseKey(p.Event, "")
	return pillarbox.DeadLetterPosition{DeadAt: pillarbox.TimestampOf(day), Key: key,
		Destination: p.Destination}
}

func (p letterPlace) cursor() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("pillarbox: bug: a cursor can't be encoded: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseLetterPlace returns nil for no cursor.
func parseLetterPlace(cursor string) (*letterPlace, error) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(cursor) > maxCursor || !utf8.Valid(text) {
		return nil, errCursor(cursor)
	}
	var place letterPlace
	if err := json.Unmarshal(text, &place); err != nil {
		return nil, errCursor(cursor)
	}
	if _, err := time.Parse(dayLayout, place.Day); err != nil {
		return nil, errCursor(cursor)
	}
	if _, err := parseKey(place.Event, cursor); err != nil {
		return nil, err
	}
	return &place, nil
}

func (a *Handler) letter(w http.ResponseWriter, r *apiRequest) error {
	destination := r.query.text("destination")
	if err := r.query.err(); err != nil {
		return err
	}
	letter, err := a.node.DeadLetter(r.Context(), destination, r.PathValue("request_id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, letter)
	return nil
}

func (a *Handler) discard(w http.ResponseWriter, r *apiRequest) error {
	destination := r.query.text("destination")
	if err := r.query.err(); err != nil {
		return err
	}
	// What was begun is finished, whether or not the client stays.
	ctx := context.WithoutCancel(r.Context())
	letter, err := a.node.DeadLetter(ctx, destination, r.PathValue("request_id"))
	if err != nil {
		return err
	}
	if err := a.node.Discard(ctx, letter.Destination, letter.Event.RequestID); err != nil {
		return err
	}
	if letter, err = a.node.DeadLetter(ctx, letter.Destination, letter.Event.RequestID); err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, letter)
	return nil
}
