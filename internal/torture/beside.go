package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"pillarbox"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/vfs"
)

// Beside is a destination that servers have beside the database, with the same events. It refuses none of
// them.
type Beside struct {
	Name string
	URL  string // as in the configuration; what is in the data directory is broken with it
	Keys string // others of it, as YAML in one line, such as "batch: { max_age: 20ms }"; empty for none
}

// prepare writes the configuration of the servers beside their directory, if it takes one. The path may
// not be on a disk that is broken.
func (o *Options) prepare(path string) error {
	switch {
	case len(o.Beside) == 0:
		return nil
	case o.Store != nil:
		return errors.New("what is beside the database takes a configuration of its own, and so does the store in its place: one of the two")
	}
	var text strings.Builder
	text.WriteString("destinations:\n  events: { url: \"sqlite:\", sources: [app] }\n")
	for _, b := range o.Beside {
		keys := ""
		if b.Keys != "" {
			keys = ", " + b.Keys
		}
		fmt.Fprintf(&text, "  %s: { url: %q, sources: [app]%s }\n", b.Name, b.URL, keys)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	o.config = path
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// args are those of a command, with the configuration.
func (o *Options) args(others ...string) []string {
	if o.config == "" {
		return o.Store.args(others...)
	}
	return append([]string{"--config", o.config}, others...)
}

// finish is finish of the report, and holds what is beside the database against what the clients were told,
// too.
func (o *Options) finish(r *Report, clients *Clients, data string) error {
	if err := r.finish(clients, o.Binary, data, o.Store, o.args()...); err != nil {
		return err
	}
	for _, b := range o.Beside {
		found, err := clients.compareBeside(b, data)
		if err != nil {
			r.fail("%s: %v", b.Name, err)
			continue
		}
		if found.Stored == 0 {
			r.fail("%s: nothing is stored there, which proves nothing", b.Name)
		}
		r.note("%d are stored in %s", found.Stored, b.Name)
		found.Stored = 0 // what is counted are those of the database
		r.add(found.of(b.Name), Counts{})
	}
	return nil
}

// of says where the differences are.
func (d *Difference) of(name string) *Difference {
	for _, list := range [][]string{d.Lost, d.Twice, d.Unsent} {
		for i := range list {
			list[i] = name + ": " + list[i]
		}
	}
	return d
}

// compareBeside reads a destination of a stopped server with nothing pending.
func (c *Clients) compareBeside(b Beside, data string) (found *Difference, err error) {
	disk, err := vfs.OpenDisk(data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	store, err := catalog.OpenSink(context.Background(), catalog.Place{Data: disk}, b.Name, b.URL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	all := &inventory{clients: c, keys: map[pillarbox.Key]int{}, copies: map[string][]pillarbox.Key{}}
	if err := all.readStore(store); err != nil {
		return nil, err
	}
	return all.compare(), nil
}

// readStore adds all events of a store. One that it can't read is an error.
func (i *inventory) readStore(store StoreReader) error {
	filter := pillarbox.EventFilter{Limit: pillarbox.MaxListLimit}
	for {
		page, err := store.List(context.Background(), filter)
		if err != nil {
			return err
		}
		for _, event := range page {
			i.add(event)
		}
		i.difference.Stored += len(page)
		if len(page) < pillarbox.MaxListLimit {
			return nil
		}
		filter.After = page[len(page)-1].Key()
	}
}
