package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
)

// object is a file that several processes share.
type object struct {
	mu      sync.Mutex // guards all below
	content []byte
	version int
	err     error
	before  func() // a write, once
}

func (o *object) Read(_ context.Context, known string) ([]byte, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return nil, "", o.err
	case o.content == nil:
		return nil, "", pillarbox.ErrNotFound
	case known == fmt.Sprint(o.version):
		return nil, known, nil
	}
	return o.content, fmt.Sprint(o.version), nil
}

func (o *object) Write(_ context.Context, content []byte, known string) (string, error) {
	o.mu.Lock()
	before := o.before
	o.before = nil
	o.mu.Unlock()
	if before != nil {
		before()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return "", o.err
	}
	if want := map[bool]string{true: "", false: fmt.Sprint(o.version)}[o.content == nil]; known != want {
		return "", fmt.Errorf("version %q is there: %w", want, pillarbox.ErrConflict)
	}
	o.content = content
	o.version++
	return fmt.Sprint(o.version), nil
}

// TestTwoProcessesShareKeys: what one makes and revokes counts for the other once it has read it, and
// neither takes away what the other has written.
func TestTwoProcessesShareKeys(t *testing.T) {
	file, now := &object{}, time.Now()
	one, two := apikey.OpenShared(file, apikey.Options{}), apikey.OpenShared(file, apikey.Options{})
	_, first, err := one.Create(apikey.New{Name: "first"})
	if err != nil {
		t.Fatal(err)
	}
	var others []string
	file.before = func() { // between what two has read and what it writes
		_, text, err := one.Create(apikey.New{Name: "meanwhile"})
		if err != nil {
			t.Error(err)
		}
		others = append(others, text)
	}
	key, second, err := two.Create(apikey.New{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]*apikey.Store{"one": one, "two": two} {
		if err := store.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(store.List()); n != 3 {
			t.Errorf("%s has %d keys, want 3", name, n)
		}
		for _, text := range append(others, first, second) {
			if _, refused := store.Ring().Open(text, "app", now); refused != "" {
				t.Errorf("%s refuses a key: %s", name, refused)
			}
		}
	}
	if _, err := one.Revoke(key.ID); err != nil {
		t.Fatal(err)
	}
	if err := two.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, refused := two.Ring().Open(second, "app", now); refused != apikey.Revoked {
		t.Errorf("a key that another process has revoked: %q", refused)
	}
}

// TestKeysStayWhileTheirFileIsAway, or damaged; and nobody has a key that was not written.
func TestKeysStayWhileTheirFileIsAway(t *testing.T) {
	file := &object{}
	store := apikey.OpenShared(file, apikey.Options{})
	_, text, err := store.Create(apikey.New{})
	if err != nil {
		t.Fatal(err)
	}
	good := file.content
	for name, spoil := range map[string]func(){
		"away":    func() { file.err = pillarbox.ErrUnavailable },
		"damaged": func() { file.content = []byte("{}"); file.version++ },
	} {
		spoil()
		if err := store.Refresh(t.Context()); err == nil {
			t.Errorf("%s: it was read", name)
		}
		if _, _, err := store.Create(apikey.New{}); err == nil {
			t.Errorf("%s: a key was made", name)
		}
		if _, refused := store.Ring().Open(text, "app", time.Now()); refused != "" || len(store.List()) != 1 {
			t.Errorf("%s: the key is refused: %s", name, refused)
		}
		file.content, file.err = good, nil
		file.version++
	}
	if err := store.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestARunningServerReadsSharedKeys every SharedEvery.
func TestARunningServerReadsSharedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &object{}
		server, command := apikey.OpenShared(file, apikey.Options{}), apikey.OpenShared(file, apikey.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- server.Run(ctx) }()
		synctest.Wait()
		_, text, err := command.Create(apikey.New{})
		if err != nil {
			t.Fatal(err)
		}
		open := func() apikey.Reason {
			_, refused := server.Ring().Open(text, "app", time.Now())
			return refused
		}
		if open() != apikey.Unknown {
			t.Error("it is known at once, which no promise says")
		}
		time.Sleep(apikey.SharedEvery)
		synctest.Wait()
		if refused := open(); refused != "" {
			t.Errorf("it is refused after %v: %s", apikey.SharedEvery, refused)
		}
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
