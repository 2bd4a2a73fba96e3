package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
)

// Where a server keeps things below its data directory by default.
const (
	databaseFile = "events.db"
	lettersDir   = "dead-letters"
)

// Difference is what the clients were told against what is left.
type Difference struct {
	Stored int `json:"stored"` // rows of the store
	Dead   int `json:"dead"`   // dead letters

	Lost   []string `json:"lost"`   // acknowledged, and neither stored nor a dead letter with the key and body of the receipt
	Twice  []string `json:"twice"`  // there more often than it was accepted
	Unsent []string `json:"unsent"` // there, and no client has sent it
}

// Err is nil where nothing is lost, doubled or invented.
func (d *Difference) Err() error {
	var errs []error
	for _, kind := range []struct {
		what   string
		events []string
	}{{"lost", d.Lost}, {"there twice", d.Twice}, {"never sent", d.Unsent}} {
		if len(kind.events) > 0 {
			errs = append(errs, fmt.Errorf("%d events are %s, such as %s", len(kind.events), kind.what,
				kind.events[0]))
		}
	}
	return errors.Join(errs...)
}

// Compare reads the store, nil for the database in the data directory, and the dead letters of a
// stopped server with nothing pending.
func (c *Clients) Compare(data string, from *Store) (*Difference, error) {
	found := &inventory{clients: c, keys: map[pillarbox.Key]int{},
		copies: map[string][]pillarbox.Key{}}
	if err := errors.Join(found.openStore(data, from), found.readLetters(data)); err != nil {
		return nil, err
	}
	return found.compare(), nil
}

// inventory is everything that is left.
type inventory struct {
	clients    *Clients
	difference Difference
	keys       map[pillarbox.Key]int      // how often each is there
	copies     map[string][]pillarbox.Key // by body
}

func (i *inventory) add(event *pillarbox.Event) {
	body := string(event.Body)
	if i.clients.messages[body] == nil {
		i.difference.Unsent = append(i.difference.Unsent, fmt.Sprintf("%v: %.100s", event.Key(), body))
		return
	}
	if i.keys[event.Key()]++; i.keys[event.Key()] == 2 {
		i.difference.Twice = append(i.difference.Twice,
			fmt.Sprintf("%v under one key: %.100s", event.Key(), body))
	}
	i.copies[body] = append(i.copies[body], event.Key())
}

func (i *inventory) openStore(data string, from *Store) error {
	store, err := from.open(context.Background(), data)
	if err != nil {
		return err
	}
	return errors.Join(i.readStore(store), store.Close())
}

// encryptionKey is the environment variable by which servers seal what they write: those that are
// broken here are started with the environment of this process.
const encryptionKey = "PILLARBOX_ENCRYPTION_KEY"

// dataKeys opens what such servers have sealed.
func dataKeys(disk *vfs.Disk) (*atrest.Keys, error) {
	url := os.Getenv(encryptionKey)
	if url == "" {
		return nil, nil
	}
	key, err := catalog.OpenKeyEncryption(encryptionKey, url)
	if err != nil {
		return nil, err
	}
	return atrest.Open(context.Background(), disk, atrest.Options{Key: key})
}

func (i *inventory) readLetters(data string) error {
	disk, err := vfs.OpenDisk(data)
	if err != nil {
		return err
	}
	keys, err := dataKeys(disk)
	if err != nil {
		return errors.Join(err, disk.Close())
	}
	letters, err := files.Open(disk, lettersDir, files.Options{AtRest: keys})
	if err != nil {
		return errors.Join(err, disk.Close())
	}
	for letter, err := range letters.List(context.Background(), pillarbox.DeadLetterFilter{}) {
		if err != nil {
			return errors.Join(err, letters.Close(), disk.Close())
		}
		if !strings.Contains(string(letter.Event.Body), refusalWord) {
			i.difference.Unsent = append(i.difference.Unsent,
				fmt.Sprintf("a dead letter of an event that nobody refused: %s: %s", letter.Event.RequestID,
					letter.Reason))
		}
		i.add(letter.Event)
		i.difference.Dead++
	}
	return errors.Join(letters.Close(), disk.Close())
}

func (i *inventory) compare() *Difference {
	for body, m := range i.clients.messages {
		for _, receipt := range m.receipts {
			key := pillarbox.Key{Timestamp: receipt.Timestamp, RequestID: receipt.RequestID}
			if !contains(i.copies[body], key) {
				i.difference.Lost = append(i.difference.Lost,
					fmt.Sprintf("%+v, of which %d copies are there: %.100s", receipt, len(i.copies[body]), body))
			}
		}
		allowed := len(m.receipts) + m.unknown
		if m.key != "" {
			allowed = 1
		}
		if extra := len(i.copies[body]) - allowed; extra > 0 {
			i.difference.Twice = append(i.difference.Twice,
				fmt.Sprintf("%d more copies than there may be: %.100s", extra, body))
		}
	}
	return &i.difference
}

func contains(keys []pillarbox.Key, key pillarbox.Key) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}
