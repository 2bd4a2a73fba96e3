package node

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// byHand is why the signature of an event that a person sends was not looked at.
const byHand = "sent by a person, through the admin API"

// Send implements adminapi.Sender. The event has the attribute source.Unverified, which says why.
func (n *Node) Send(ctx context.Context, event *adminapi.SendRequest, body []byte) (pillarbox.Receipt, error) {
	from := n.sources.Table().Get(event.Source)
	if from == nil {
		var names []string
		for _, s := range n.sources.Table().All() {
			names = append(names, s.Name)
		}
		return pillarbox.Receipt{}, fmt.Errorf("there is no source %q; configured are %s: %w", event.Source, strings.Join(names, ", "),
			pillarbox.ErrNotFound)
	}
	head := headOf(event, from)
	grant, kept, err := from.Readmit(&source.Again{Head: head, Body: body, ReceivedAt: n.clock.Now(), Forced: true, Reason: byHand})
	if err != nil {
		return pillarbox.Receipt{}, err
	}
	result := n.ingest.Accept(ctx, []ingest.Request{{Grant: grant, Method: head.Method, Path: head.Path, Query: head.Query,
		Header: head.Header, ContentType: event.ContentType, Body: kept}})[0]
	return result.Receipt, result.Err
}

func headOf(event *adminapi.SendRequest, from *source.Source) source.Head {
	head := source.Head{Method: event.Method, Path: event.Path, Query: event.Query, MayWait: true}
	if head.Method == "" {
		head.Method = http.MethodPost
	}
	if head.Path == "" {
		head.Path = from.Path
	}
	for name, value := range event.Headers {
		head.Header = append(head.Header, pillarbox.HeaderField{Name: http.CanonicalHeaderKey(name), Value: value})
	}
	if event.ContentType != "" {
		head.Header = append(head.Header, pillarbox.HeaderField{Name: "Content-Type", Value: event.ContentType})
	}
	if event.CopyOf != "" {
		head.Header = append(head.Header, pillarbox.HeaderField{Name: adminapi.CopyHeader, Value: event.CopyOf})
	}
	slices.SortStableFunc(head.Header, func(a, b pillarbox.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return head
}
