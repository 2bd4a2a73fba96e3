package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/webhook"
)

// Destination is what a configuration says of the engine of a destination.
type Destination struct {
	URL     string
	Webhook webhook.Options // for webhooks; its secrets may be file:PATH
	Broker  Broker          // for brokers; the same
}

// isWebhook reports whether the URL is one that events are posted to.
func isWebhook(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return scheme == "https" || scheme == "http"
}

// OpenDestination is OpenSink with all that is set of the destination.
func OpenDestination(ctx context.Context, place Place, name string, d Destination) (pillarbox.Sink, error) {
	if isBroker(d.URL) {
		return openBroker(place, name, d)
	}
	if !isWebhook(d.URL) {
		return OpenSink(ctx, place, name, d.URL)
	}
	return opened[pillarbox.Sink](openPosting(place, name, d))
}

// CheckDestination reports whether the engine of the destination can do what is set, without opening
// it. It reads the files that are named.
func CheckDestination(name string, d Destination) error {
	if isBroker(d.URL) {
		sink, err := openBroker(Place{}, name, d)
		if err != nil {
			return err
		}
		return sink.Close()
	}
	if !isWebhook(d.URL) {
		return CheckSink(name, d.URL)
	}
	sink, err := openPosting(Place{}, name, d)
	if err != nil {
		return err
	}
	return sink.Close()
}

func openPosting(place Place, name string, d Destination) (*webhook.Sink, error) {
	options := d.Webhook
	options.Now = place.Now
	err := ReadSecrets(&options)
	if err != nil {
		return nil, ofDestination(name, err)
	}
	sink, err := webhook.Open(d.URL, options)
	return sink, ofDestination(name, err)
}

// ofDestination puts the destination before the key that an error names.
func ofDestination(name string, err error) error {
	var setting *webhook.SettingError
	if errors.As(err, &setting) {
		return pillarbox.Invalid("destinations.%s.%s: %s", name, setting.Key, setting.Reason)
	}
	var ofBroker *bus.SettingError
	if errors.As(err, &ofBroker) {
		return pillarbox.Invalid("destinations.%s.%s: %s", name, ofBroker.Key, ofBroker.Reason)
	}
	return err
}

// openWebhook opens one of which nothing is set but its URL.
func openWebhook(scheme string) func(context.Context, Place, string, string) (pillarbox.Sink, error) {
	return func(_ context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
		return opened[pillarbox.Sink](openPosting(place, name, Destination{URL: scheme + ":" + rest}))
	}
}

// checkWebhook looks at the URL alone.
func checkWebhook(scheme string) func(key, rest string) error {
	return func(key, rest string) error {
		sink, err := webhook.Open(scheme+":"+rest, webhook.Options{AllowPrivate: true})
		if err != nil {
			return pillarbox.Invalid("%s: want https://HOST/PATH or http://HOST/PATH: %w", key, err)
		}
		return sink.Close()
	}
}

// secretFile begins a value that is in a file.
const secretFile = "file:"

// maxSecretFile bounds such a file, in bytes: a token or a key.
const maxSecretFile = 64 << 10

// ReadSecrets replaces the values that are in files. It changes no slice or map of the caller. Errors:
// *webhook.SettingError.
func ReadSecrets(options *webhook.Options) error {
	options.SigningSecrets = slices.Clone(options.SigningSecrets)
	for i := range options.SigningSecrets {
		if err := ReadSecret(fmt.Sprintf("signing_secrets[%d]", i), &options.SigningSecrets[i]); err != nil {
			return err
		}
	}
	var err error
	if options.Headers, err = readHeaders(options.Headers); err != nil {
		return err
	}
	if err := ReadSecret("oauth2.client_secret", &options.OAuth2.ClientSecret); err != nil {
		return err
	}
	return ReadSecret("proxy.password", &options.Proxy.Password)
}

func readHeaders(headers map[string]string) (map[string]string, error) {
	read := make(map[string]string, len(headers))
	for name, value := range headers {
		if err := ReadSecret("headers."+name, &value); err != nil {
			return nil, err
		}
		read[name] = value
	}
	return read, nil
}

// ReadSecret replaces a value that is in a file (file:PATH). Errors: *webhook.SettingError for the key.
func ReadSecret(key string, value *string) error {
	path, inFile := strings.CutPrefix(*value, secretFile)
	if !inFile {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return &webhook.SettingError{Key: key, Reason: err.Error()}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	switch {
	case err != nil:
		return &webhook.SettingError{Key: key, Reason: err.Error()}
	case len(text) > maxSecretFile:
		return &webhook.SettingError{Key: key, Reason: fmt.Sprintf("%s is larger than %d bytes, and no secret", path, maxSecretFile)}
	}
	if *value = strings.TrimRight(string(text), "\r\n"); *value == "" {
		return &webhook.SettingError{Key: key, Reason: path + " is empty"}
	}
	return nil
}
