package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// StreamName is the name of the stream that is made for a subject: "pillarbox-" and the subject with
// - for each dot.
func StreamName(subject string) string { return streamName + strings.ReplaceAll(subject, ".", "-") }

// findStream sees that a stream has the subject, and makes one where none has. Errors match
// ErrInvalid where a person has to do something, else they are outages.
func (s *Sink) findStream(ctx context.Context, js jetstream.JetStream) error {
	name, err := js.StreamNameBySubject(ctx, s.subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.makeStream(ctx, js)
	}
	if err != nil {
		return s.apiError("look for the stream of "+s.subject, err)
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return s.apiError("look at the stream "+name, err)
	}
	return s.checkStream(stream.CachedInfo().Config)
}

// checkStream refuses a stream that can't do what is wanted of it.
func (s *Sink) checkStream(config jetstream.StreamConfig) error {
	switch {
	case config.NoAck:
		return pillarbox.Invalid("%s: the stream %s acknowledges nothing (no_ack), so that nobody knows what it has stored; "+
			"turn that off, or use a subject of another stream", s, config.Name)
	case config.Sealed:
		return pillarbox.Invalid("%s: the stream %s is sealed and takes nothing more; use a subject of another stream", s, config.Name)
	case config.Storage == jetstream.MemoryStorage:
		s.logger.Warn("a stream keeps its messages in memory: they are lost when its servers stop", telemetry.KeyStream, config.Name)
	}
	return nil
}

// makeStream makes one with a file, kept until a person deletes from it, and the defaults of the
// server for all else.
func (s *Sink) makeStream(ctx context.Context, js jetstream.JetStream) error {
	name := StreamName(s.subject)
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{s.subject},
		Description: "events of pillarbox", Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy})
	switch {
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		// Another one has made it meanwhile, or it is a stream with other subjects.
		if found, foundErr := js.StreamNameBySubject(ctx, s.subject); foundErr == nil && found == name {
			return nil
		}
		return pillarbox.Invalid("%s: the stream %s is there, and does not have the subject; add the subject to it, or make a stream that has it",
			s, name)
	case err != nil:
		return s.apiError("make the stream "+name, err)
	}
	s.logger.Info("a stream was made for a destination", telemetry.KeyStream, name)
	return nil
}

// apiError sorts an error of the API: what the server refuses as wrong is for a person.
func (s *Sink) apiError(doing string, err error) error {
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) && refusal.Code >= 400 && refusal.Code < 500 {
		return pillarbox.Invalid("%s: %s: %w", s, doing, err)
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, client.ErrNoResponders) {
		err = fmt.Errorf("%w; JetStream has to be on (nats-server -js)", err)
	}
	return s.unavailable(fmt.Errorf("%s: %w", doing, err))
}
