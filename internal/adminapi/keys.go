package adminapi

import (
	"context"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/protocol"
)

// keyRoutes make, list and revoke API keys.
var keyRoutes = []apiRoute{
	{method: http.MethodPost, path: KeysPath, scope: ScopeAdmin, act: "keys.create", params: none,
		answers: []int{201, 400, 404, 408, 409, 413, 415, 503}, body: true, handle: (*Handler).createKey},
	{method: http.MethodGet, path: KeysPath, params: none, answers: []int{200, 400},
		handle: (*Handler).listKeys},
	{method: http.MethodDelete, path: KeysPath + "/{id}", scope: ScopeAdmin, act: "keys.revoke", params: none, answers: []int{200, 400, 404, 503},
		handle: (*Handler).revokeKey},
}

// KeysPath is where API keys are.
const KeysPath = "/api/v1/keys"

// Keys are the API keys of sources. It is apikey.Store, with ErrInvalid where nothing is kept on
// this machine, and with a look at the sources.
type Keys interface {
	// CreateKey returns the key itself as text. Errors: ErrNotFound for a source that is not
	// configured.
	CreateKey(ctx context.Context, n apikey.New) (key apikey.Key, text string, err error)
	APIKeys() ([]apikey.Key, error)
	RevokeKey(ctx context.Context, id string) (apikey.Key, error)
}

// KeyRequest says which key to make.
type KeyRequest struct {
	Name    string `json:"name,omitempty"`    // of who gets it
	Source  string `json:"source,omitempty"`  // the only one that it opens; empty for all
	Expires string `json:"expires,omitempty"` // how long from now, as in 90d, or RFC 3339; empty for never
}

// Key is what is known of an API key.
type Key struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Source     string               `json:"source"` // empty for all
	CreatedAt  pillarbox.Timestamp  `json:"created_at"`
	ExpiresAt  *pillarbox.Timestamp `json:"expires_at"`
	RevokedAt  *pillarbox.Timestamp `json:"revoked_at"`
	LastUsedAt *pillarbox.Timestamp `json:"last_used_at"` // to the second
}

// NewKey is a key that was just made, with the only copy of the key itself.
type NewKey struct {
	ID        string               `json:"id"`
	Key       string               `json:"key"`
	Name      string               `json:"name"`
	Source    string               `json:"source"`
	CreatedAt pillarbox.Timestamp  `json:"created_at"`
	ExpiresAt *pillarbox.Timestamp `json:"expires_at"`
}

// KeyList is all API keys, in the order in which they were made.
type KeyList struct {
	Keys []Key `json:"keys"`
}

func shownKey(k apikey.Key) Key {
	return Key{ID: k.ID, Name: k.Name, Source: k.Source, CreatedAt: k.CreatedAt,
		ExpiresAt: optional(k.ExpiresAt), RevokedAt: optional(k.RevokedAt), LastUsedAt: optional(k.LastUsed)}
}

func optional(t pillarbox.Timestamp) *pillarbox.Timestamp {
	if t == 0 {
		return nil
	}
	return &t
}

func (a *Handler) createKey(w http.ResponseWriter, r *apiRequest) error {
	var asked KeyRequest
	if err := readRequest(w, r.Request, &asked, "a request for a key", ""); err != nil {
		return err
	}
	expires, err := parseExpiry(asked.Expires, a.opts.Now())
	if err != nil {
		return err
	}
	key, text, err := a.node.CreateKey(r.Context(),
		apikey.New{Name: asked.Name, Source: asked.Source, ExpiresAt: expires})
	if err != nil {
		return err
	}
	r.made = "key " + key.ID
	protocol.WriteJSON(w, http.StatusCreated, NewKey{ID: key.ID, Key: text, Name: key.Name,
		Source: key.Source, CreatedAt: key.CreatedAt, ExpiresAt: optional(key.ExpiresAt)})
	return nil
}

// parseExpiry reads an instant, the beginning of a day (UTC), or how long from now. Nothing is
// never.
func parseExpiry(value string, now time.Time) (pillarbox.Timestamp, error) {
	if value == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		at, err = time.Parse(time.DateOnly, value)
	}
	if err != nil {
		var after time.Duration
		if after, err = parseAgo(value); err == nil {
			at = now.Add(after)
		}
	}
	stamp := pillarbox.TimestampOf(at)
	if _, formErr := stamp.MarshalText(); err != nil || formErr != nil || stamp == 0 {
		return 0, protocol.Invalid("expires is %q; it may be how long from now, as in 12h or 90d, a time as in 2027-01-31T14:12:00Z, or a day (UTC) as in 2027-01-31", value)
	}
	return stamp, nil
}

func (a *Handler) listKeys(w http.ResponseWriter, _ *apiRequest) error {
	keys, err := a.node.APIKeys()
	if err != nil {
		return err
	}
	list := KeyList{Keys: make([]Key, len(keys))}
	for i, key := range keys {
		list.Keys[i] = shownKey(key)
	}
	protocol.WriteJSON(w, http.StatusOK, list)
	return nil
}

func (a *Handler) revokeKey(w http.ResponseWriter, r *apiRequest) error {
	key, err := a.node.RevokeKey(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, shownKey(key))
	return nil
}
