// Package receiver takes messages about alerts to people: by a webhook, to Slack, by e-mail, and to
// PagerDuty.
//
// What goes over HTTP is sent as the webhook destination sends: signed where there are secrets,
// never to an address that is not public unless that is allowed, and without following redirects.
// Texts are escaped for whoever shows them. Nothing that Send returns or that is logged holds a
// secret, the address of an incoming webhook included.
package receiver

import (
	"context"
	"fmt"
	"time"

	"pillarbox/internal/alert"
	"pillarbox/internal/engine/webhook"
)

// The kinds of receivers.
const (
	Webhook   = "webhook"
	Slack     = "slack"
	Email     = "email"
	PagerDuty = "pagerduty"
)

// PagerDutyURL is where PagerDuty takes events, outside of its service region in Europe.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// Options of a receiver.
type Options struct {
	Name       string
	Kind       string
	Severities []alert.Severity

	URL        string          // of all but Email; PagerDutyURL where PagerDuty has none
	HTTP       webhook.Options // of all but Email: SigningSecrets, Headers, AllowPrivate and Now
	RoutingKey string          // of PagerDuty
	Mail       Mail            // of Email
}

// Open prepares a receiver. It makes no connection. Errors: *webhook.SettingError, with the key
// that is wrong.
func Open(o Options) (alert.Receiver, error) {
	var sender alert.Sender
	var err error
	if o.Kind == Email {
		sender, err = openMail(o.Mail)
	} else {
		sender, err = openPoster(o)
	}
	return alert.Receiver{Name: o.Name, Kind: o.Kind, Severities: o.Severities, Sender: sender}, err
}

func openPoster(o Options) (alert.Sender, error) {
	if o.Kind == PagerDuty && o.RoutingKey == "" {
		return nil, &webhook.SettingError{Key: "routing_key",
			Reason: "is not set; the service in PagerDuty has it, under its integration Events API v2"}
	}
	sink, err := webhook.Open(o.URL, o.HTTP)
	if err != nil {
		return nil, err
	}
	p := poster{sink}
	switch o.Kind {
	case Webhook:
		return webhookSender{p}, nil
	case Slack:
		return slackSender{p}, nil
	case PagerDuty:
		return pagerDutySender{p, o.RoutingKey}, nil
	}
	return nil, fmt.Errorf("bug: receivers of the kind %q", o.Kind)
}

// poster posts JSON.
type poster struct{ sink *webhook.Sink }

func (p poster) Close() error { return p.sink.Close() }

func (p poster) post(ctx context.Context, id string, body []byte) error {
	return p.sink.Post(ctx, id, "application/json", body)
}

// OpenBeat prepares what a heartbeat is: a GET of a URL.
func OpenBeat(url string, opts webhook.Options) (beat func(context.Context) error,
	closeBeat func() error, err error) {
	sink, err := webhook.Open(url, opts)
	if err != nil {
		return nil, nil, err
	}
	beat = func(ctx context.Context) error {
		return sink.Get(ctx, fmt.Sprintf("beat_%d", time.Now().UnixMilli()))
	}
	return beat, sink.Close, nil
}
