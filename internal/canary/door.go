package canary

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/posting"
)

// Door is the public door as the built-in canary sees it.
type Door struct {
	URL             string // of where it posts to
	Client          *http.Client
	Sign            func() string // makes a signature for one request
	SignatureHeader string        // in which it stands
}

// Post sends one canary. Errors: as those of ScheduleOptions.Post.
func (d *Door) Post(ctx context.Context) (pillarbox.Receipt, error) {
	body, err := json.Marshal(
		map[string]string{
			"pillarbox": "canary",
			"sent_at":   pillarbox.TimestampOf(time.Now()).String(),
		},
	)
	if err != nil {
		return pillarbox.Receipt{}, err
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", pillarbox.CanarySource) // for the logs of what stands in front
	header.Set(pillarbox.CanaryHeader, "1")
	header.Set(d.SignatureHeader, d.Sign())
	sender := &posting.Sender{
		URL:    d.URL,
		Header: header,
		Poster: &adminclient.Poster{HTTP: d.Client},
	}
	answer := sender.Send(ctx, body)
	switch {
	case answer.Err != nil:
		return pillarbox.Receipt{}, answer.Err
	case !answer.Accepted():
		return pillarbox.Receipt{}, &Refused{Answer: answer.Refusal}
	}
	return answer.Receipt, nil
}
