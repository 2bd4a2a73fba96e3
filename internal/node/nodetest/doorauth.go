package nodetest

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs/faultfs"
)

// DoorKeys are API keys for Doors, by what is to be said of them.
type DoorKeys struct {
	Ring *apikey.Ring

	Good, Named, Expired, Revoked, OtherSource, Strange string
	GoodID                                              string // of Good, which has no name
}

// NewDoorKeys makes keys of which two are good for the source app at DoorTime.
func NewDoorKeys(t testing.TB) *DoorKeys {
	t.Helper()
	open := func() *apikey.Store {
		store, err := apikey.OpenStore(faultfs.New(faultfs.Options{}),
			apikey.Options{Now: func() time.Time { return DoorTime.Add(-time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	make := func(store *apikey.Store, n apikey.New) (id, text string) {
		key, text, err := store.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		return key.ID, text
	}
	store := open()
	k := &DoorKeys{Ring: store.Ring()}
	k.GoodID, k.Good = make(store, apikey.New{})
	_, k.Named = make(store, apikey.New{Name: "shop", Source: "app", ExpiresAt: pillarbox.TimestampOf(DoorTime) + 1})
	_, k.Expired = make(store, apikey.New{ExpiresAt: pillarbox.TimestampOf(DoorTime)})
	_, k.OtherSource = make(store, apikey.New{Source: "other"})
	_, k.Strange = make(open(), apikey.New{})
	var id string
	id, k.Revoked = make(store, apikey.New{})
	if _, err := store.Revoke(id); err != nil {
		t.Fatal(err)
	}
	return k
}

// mistyped is a key with a wrong character.
func mistyped(key string) string {
	last := "0"
	if key[len(key)-1] == '0' {
		last = "1"
	}
	return key[:len(key)-1] + last
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// callerOf is who comes with the good credential of a header.
func callerOf(k *DoorKeys, header []string) string {
	if strings.Contains(strings.Join(header, " "), k.Good) {
		return k.GoodID
	}
	return "shop"
}

// AuthDoors are requests to sources that ask who comes, with every credential that there is.
func AuthDoors(t testing.TB) (doors []Door) {
	t.Helper()
	k := NewDoorKeys(t)
	app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody}
	keys, users, both := app, app, app
	keys.Keys, both.Keys = k.Ring, k.Ring
	users.Users = []source.User{{Name: "shop", Password: doorSecret + "-old"}, {Name: "shop", Password: doorSecret}}
	both.Users = users.Users
	const body, authorization, key = "who comes", "Authorization", "X-Api-Key"
	shop := basic("shop", doorSecret)
	for _, c := range []struct {
		name   string
		source source.Settings
		header []string
		good   bool
	}{
		{"a key", keys, []string{authorization, "Bearer " + k.Good}, true},
		{"a key in a header of its own", keys, []string{key, k.Good}, true},
		{"a key in both", keys, []string{authorization, "Bearer " + k.Named, key, k.Named}, true},
		{"names in lower case", keys, []string{"authorization", "bearer " + k.Named}, true},
		{"a header of its own in lower case", keys, []string{"x-api-key", k.Named}, true},
		{"a key, where a password is taken too", both, []string{key, k.Good}, true},
		{"a password", users, []string{authorization, shop}, true},
		{"the password of before", users, []string{authorization, basic("shop", doorSecret+"-old")}, true},
		{"a password, where a key is taken too", both, []string{"authorization", shop}, true},
		{"a password, beside a key that nobody asks for", users, []string{authorization, shop, key, "data"}, true},

		{"none", keys, nil, false},
		{"none of two", both, nil, false},
		{"no password", users, nil, false},
		{"an empty one", keys, []string{authorization, ""}, false},
		{"an empty key", keys, []string{key, ""}, false},
		{"a bearer without a key", keys, []string{authorization, "Bearer"}, false},
		{"a wrong checksum", keys, []string{authorization, "Bearer " + mistyped(k.Good)}, false},
		{"a wrong checksum in a header of its own", keys, []string{key, mistyped(k.Good)}, false},
		{"a key that is longer", keys, []string{key, k.Good + "0"}, false},
		{"another bearer", keys, []string{authorization, "Bearer eyJhbGciOiJub25lIn0.e30."}, false},
		{"a key of somebody else", keys, []string{key, k.Strange}, false},
		{"a key that was revoked", keys, []string{authorization, "Bearer " + k.Revoked}, false},
		{"a key that has expired", keys, []string{key, k.Expired}, false},
		{"a key of another source", keys, []string{authorization, "Bearer " + k.OtherSource}, false},
		{"a key without its scheme", keys, []string{authorization, k.Good}, false},
		{"two lines", keys, []string{authorization, "Bearer " + k.Good, authorization, "Bearer " + k.Named}, false},
		{"two lines of one key", keys, []string{key, k.Good, key, k.Good}, false},
		{"two lines in different case", keys, []string{authorization, "Bearer " + k.Good, "authorization", "Bearer " + k.Revoked}, false},
		{"two keys", keys, []string{authorization, "Bearer " + k.Good, key, k.Named}, false},
		{"a key and a password", both, []string{authorization, shop, key, k.Good}, false},
		{"two keys in one line", keys, []string{authorization, "Bearer " + k.Good + ", Bearer " + k.Good}, false},
		{"a key as a password", users, []string{authorization, "Bearer " + k.Good}, false},
		{"a password as a key", keys, []string{authorization, shop}, false},
		{"another password", users, []string{authorization, basic("shop", doorSecret+"r")}, false},
		{"a password of nobody", users, []string{authorization, basic("nobody", doorSecret)}, false},
		{"a password that is too long", users, []string{authorization, basic("shop", doorSecret+string(make([]byte, source.MaxBasic)))}, false},
		{"a password in no base64", users, []string{authorization, "Basic shop:" + doorSecret}, false},
		{"a user without a colon", users, []string{authorization, "Basic c2hvcA=="}, false},
	} {
		door := Door{Name: "auth, " + c.name, Source: c.source, Header: c.header, Body: body,
			Status: 401, Type: problemType, Answer: "problem"}
		if c.good {
			door.Status, door.Type, door.Answer, door.Stored = 202, jsonType, "receipt", true
			door.Removed = []string{authorization, key}
			door.Facts = &pillarbox.Facts{Caller: callerOf(k, c.header)}
		}
		doors = append(doors, door)
	}
	doors = append(doors, tokenDoors(t)...)
	return append(doors,
		Door{Name: "auth, alive", Source: both, Method: "GET", Status: 200, Type: jsonType, Answer: `{"status":"ok"}` + "\n"},
		Door{Name: "auth, OPTIONS", Source: both, Method: "OPTIONS", Status: 204, Allow: "GET, HEAD, OPTIONS, POST"})
}
