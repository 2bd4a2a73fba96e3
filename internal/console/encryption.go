package console

import (
	"fmt"
	"io"

	"pillarbox/internal/atrest"
)

// WriteDataKeys writes a list of data keys.
func WriteDataKeys(w io.Writer, keys []atrest.DataKey, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, map[string]any{"data_keys": keys})
	}
	if len(keys) == 0 && form.Kind == Table {
		_, err := fmt.Fprintln(w, "there are no data keys: nothing was ever sealed; encryption.key begins it")
		return err
	}
	table := Rows{Head: []string{"id", "created", "wrapped_by"}}
	for _, key := range keys {
		table.Add(key.ID, key.Created, key.WrappedBy)
	}
	return table.Write(w, form)
}
