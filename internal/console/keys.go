package console

import (
	"fmt"
	"io"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

// WriteNewKey writes a key that was just made: the key itself alone on w, as a script wants it, and
// what there is to say on talk.
func WriteNewKey(w, talk io.Writer, key *adminapi.NewKey, form Form) error {
	switch form.Kind {
	case JSON:
		return WriteJSON(w, key)
	case CSV:
		table := Rows{Head: []string{"id", "key", "name", "source", "created_at", "expires_at"}}
		table.Add(key.ID, key.Key, key.Name, key.Source, key.CreatedAt, timeOr(key.ExpiresAt, ""))
		return table.Write(w, form)
	}
	if _, err := fmt.Fprintln(w, key.Key); err != nil {
		return err
	}
	_, err := fmt.Fprintf(talk, "keep it now: it is not shown again; \"pillarbox keys revoke %s\" ends it\n", key.ID)
	return err
}

// WriteKeys writes all keys.
func WriteKeys(w io.Writer, keys []adminapi.Key, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, adminapi.KeyList{Keys: keys})
	}
	if len(keys) == 0 && form.Kind == Table {
		_, err := fmt.Fprintln(w, "there are no keys; \"pillarbox keys create\" makes one")
		return err
	}
	all, never := "all", "never"
	if form.Kind == CSV {
		all, never = "", ""
	}
	table := Rows{Head: []string{"id", "name", "source", "created_at", "expires_at", "revoked_at", "last_used_at"}}
	for _, key := range keys {
		source := key.Source
		if source == "" {
			source = all
		}
		table.Add(key.ID, key.Name, source, key.CreatedAt, timeOr(key.ExpiresAt, never),
			timeOr(key.RevokedAt, never), timeOr(key.LastUsedAt, never))
	}
	return table.Write(w, form)
}

func timeOr(t *pillarbox.Timestamp, none string) string {
	if t == nil {
		return none
	}
	return t.String()
}
