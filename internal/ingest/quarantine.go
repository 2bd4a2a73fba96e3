package ingest

import (
	"context"
	"errors"

	"pillarbox"
)

// Quarantine keeps requests apart whose signature fails.
type Quarantine interface {
	// Put makes a request durable, as it came and as the event that it would be, and keeps nothing of
	// either. Errors: ErrFull, where there is no room for it; ErrUnavailable, with ErrUnknown where it
	// may surface.
	Put(ctx context.Context, event *pillarbox.Event, request *Request) error

	// CountFull counts a request that was refused because there is no room.
	CountFull()
}

// keepApart keeps a request in quarantine whose signature fails. Where there is no room it is refused as
// any other that is not verified.
func (a *Ingest) keepApart(ctx context.Context, request *Request, at stamp) Result {
	from := request.Grant.Source()
	if a.apart == nil {
		return Result{Err: request.Grant.RefuseSuspect()}
	}
	if err := from.CheckBody(len(request.Body)); err != nil {
		return Result{Err: err}
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	kept := s.keepNew()
	var err error
	if kept.body, err = from.KeepBody(request.Body, &kept.removed); err != nil {
		return Result{Err: err}
	}
	kept.query = from.KeepQuery(request.Query, &kept.removed)
	s.add(0, at, request, kept)
	s.know(request.Grant.Facts())
	s.finish()
	event := s.pointers[0]
	from.MaskFacts(event.Facts)
	switch err := a.apart.Put(ctx, event, request); {
	case errors.Is(err, pillarbox.ErrFull):
		a.apart.CountFull()
		return Result{Err: request.Grant.RefuseSuspect()}
	case err != nil:
		return Result{Err: err}
	}
	request.Grant.KeptApart()
	return Result{Receipt: pillarbox.Receipt{RequestID: event.RequestID, Timestamp: event.Timestamp,
		Status: pillarbox.StateQuarantined}}
}
