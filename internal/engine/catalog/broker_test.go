package catalog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/bus"
	"pillarbox/internal/engine/catalog"
)

// TestBrokersAreOpenedWithWhatIsSet: secrets out of files, and what is wrong by its key.
func TestBrokersAreOpenedWithWhatIsSet(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "nats://a.example/in"
	for _, c := range []struct {
		url    string
		broker catalog.Broker
		want   string // "" for nothing wrong
	}{
		{url, catalog.Broker{Auth: catalog.BrokerAuth{User: "a", Password: "file:" + secret}}, ""},
		{url, catalog.Broker{Auth: catalog.BrokerAuth{Token: "file:" + secret + "no"}}, "auth.token: "},
		{url, catalog.Broker{Auth: catalog.BrokerAuth{NKey: "file:" + secret}}, "auth.nkey: is no seed"},
		{url, catalog.Broker{Options: bus.Options{Headers: map[string]string{"X-A": "file:" + secret}}}, ""},
		{url, catalog.Broker{Options: bus.Options{Headers: map[string]string{"X-A": "file:no"}}}, "headers.X-A: "},
		{url, catalog.Broker{Auth: catalog.BrokerAuth{User: "a", Password: "b", Mechanism: "plain"}}, "auth.mechanism: has no effect"},
		{url, catalog.Broker{Options: bus.Options{Key: "source"}}, "key: has no effect"},
		{"kafka://a.example/in", catalog.Broker{Options: bus.Options{Key: "source"},
			Auth: catalog.BrokerAuth{User: "a", Password: "file:" + secret, Mechanism: "plain"}}, ""},
		{"kafka://a.example/in", catalog.Broker{Auth: catalog.BrokerAuth{NKey: "a"}}, "auth.nkey: has no effect"},
		{"kafka://a.example/in", catalog.Broker{Auth: catalog.BrokerAuth{Creds: "a"}}, "auth.creds: has no effect"},
		{"kafka://a.example/in", catalog.Broker{Auth: catalog.BrokerAuth{Token: "a"}}, "auth.token: has no effect"},
		{"nats://a.example/in/b", catalog.Broker{}, "url: want nats://HOST:4222/NAME"},
	} {
		err := catalog.CheckDestination("bus", catalog.Destination{URL: c.url, Broker: c.broker})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), "destinations.bus."+c.want) {
			t.Errorf("%s %+v: %v, want %q", c.url, c.broker, err, c.want)
		}
	}
	if err := catalog.CheckSinks(map[string]string{"a": url, "b": url}); err == nil {
		t.Error("two destinations may publish to one subject, where the stream takes the events of one for those of the other")
	}
}
