package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokens gets a token, and keeps it for as long as it is good. The library's own source waits without
// a context, so that a Write would outlast its time.
type tokens struct {
	grant  clientcredentials.Config
	client *http.Client
	lock   chan struct{} // holds one while somebody reads or gets the token
	token  *oauth2.Token // nil for none
}

func newTokens(from OAuth2, through http.RoundTripper) *tokens {
	return &tokens{
		grant: clientcredentials.Config{ClientID: from.ClientID, ClientSecret: from.ClientSecret,
			TokenURL: from.TokenURL, Scopes: from.Scopes},
		client: &http.Client{Transport: through, Timeout: tokenTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		lock: make(chan struct{}, 1),
	}
}

// authorize puts a token on a request, and gets one where there is none that is good.
func (t *tokens) authorize(ctx context.Context, request *http.Request) error {
	select {
	case t.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.lock }()
	if t.token == nil || !t.token.Expiry.IsZero() && time.Until(t.token.Expiry) < tokenLeeway {
		token, err := t.grant.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
		var said *oauth2.RetrieveError
		if errors.As(err, &said) && said.Response != nil {
			return fmt.Errorf("the server of tokens answered %s: %s", said.Response.Status, printable(string(said.Body)))
		}
		if err != nil {
			return err
		}
		t.token = token
	}
	t.token.SetAuthHeader(request)
	return nil
}

// forget makes the next request get a new one: the receiver does not take this one any more.
func (t *tokens) forget() {
	t.lock <- struct{}{}
	t.token = nil
	<-t.lock
}
