package adminapi_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
)

// TestKeysOverTheAPI makes a key, whose text is told once, lists it, and revokes it; each is in
// force at once.
func TestKeysOverTheAPI(t *testing.T) {
	b := openAdmin(t)
	post := func(body string, status int, parts ...string) nodetest.Answer {
		t.Helper()
		got := b.call("POST", adminapi.KeysPath, body)
		got.Wants(t, status, parts...)
		return got
	}
	b.get(adminapi.KeysPath).Wants(t, 200, `{"keys":[]}`)
	post(`{"source":"nobody"}`, 404, `there is no source \"nobody\"`, "app")
	post(`{"expires":"soon"}`, 400, "expires is", "90d")
	post(`{"expires":"2020-01-01"}`, 400, "which is over")
	post(`{"expires":"-1h"}`, 400, "expires is")
	post(`{"name":"a\u0000"}`, 400, "visible ASCII")
	post(`{"key":"pb_mine"}`, 400, "key")
	var made adminapi.NewKey
	if err := json.Unmarshal([]byte(post(`{"source":"app","name":"shop","expires":"90d"}`, 201).Body), &made); err != nil {
		t.Fatal(err)
	}
	open := func() string {
		_, refused := b.Keys.Ring().Open(made.Key, "app", time.Now())
		return string(refused)
	}
	if open() != "" || made.ExpiresAt.String() != "2027-02-21T15:12:00.123456Z" { // 90 days after the time of these tests
		t.Errorf("made is %v, refused as %q", made, open())
	}
	list := b.get(adminapi.KeysPath)
	list.Wants(t, 200, `"id":"`+made.ID+`"`, `"name":"shop"`, `"source":"app"`, `"revoked_at":null`, `"last_used_at":"2`)
	if strings.Contains(list.Body, made.Key[3:]) {
		t.Errorf("the list holds the key: %s", list.Body)
	}
	post(`{}`, 201, `"source":""`, `"expires_at":null`)
	for range 2 {
		b.call("DELETE", adminapi.KeysPath+"/"+made.ID, "").Wants(t, 200, `"revoked_at":"2`)
	}
	if open() != "revoked" {
		t.Errorf("a key that was revoked is refused as %q", open())
	}
	b.call("DELETE", adminapi.KeysPath+"/nothing", "").Wants(t, 404, "there is no API key")
}
