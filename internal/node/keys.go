package node

import (
	"context"
	"fmt"
	"strings"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/telemetry"
)

// apiKeys are those of the data directory, if there is one.
func (n *Node) apiKeys() (*apikey.Store, error) {
	if n.opts.APIKeys == nil {
		return nil, pillarbox.Invalid("API keys are kept in a data directory, and here is none that can be used for them")
	}
	return n.opts.APIKeys, nil
}

// CreateKey implements adminapi.Keys.
func (n *Node) CreateKey(_ context.Context, wanted apikey.New) (apikey.Key, string, error) {
	store, err := n.apiKeys()
	if err != nil {
		return apikey.Key{}, "", err
	}
	if table := n.sources.Table(); wanted.Source != "" && table.Get(wanted.Source) == nil {
		var names []string
		for _, s := range table.All() {
			names = append(names, s.Name)
		}
		return apikey.Key{}, "", fmt.Errorf("there is no source %q; configured are %s: %w", wanted.Source,
			strings.Join(names, ", "), pillarbox.ErrNotFound)
	}
	key, text, err := store.Create(wanted)
	if err == nil {
		n.logger.Info("an API key was made", telemetry.KeyAPIKey, key.ID, telemetry.KeyName, key.Name,
			telemetry.KeySource, key.Source)
	}
	return key, text, err
}

// APIKeys implements adminapi.Keys.
func (n *Node) APIKeys() ([]apikey.Key, error) {
	store, err := n.apiKeys()
	if err != nil {
		return nil, err
	}
	return store.List(), nil
}

// RevokeKey implements adminapi.Keys.
func (n *Node) RevokeKey(_ context.Context, id string) (apikey.Key, error) {
	store, err := n.apiKeys()
	if err != nil {
		return apikey.Key{}, err
	}
	key, err := store.Revoke(id)
	if err == nil {
		n.logger.Info("an API key was revoked", telemetry.KeyAPIKey, key.ID, telemetry.KeyName, key.Name,
			telemetry.KeySource, key.Source)
	}
	return key, err
}
