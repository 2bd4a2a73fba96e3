package adminapi_test

import (
	"errors"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/quarantine"
)

// TestQuarantineOverTheAPI shows what is kept without what is sealed, and does what a person decides.
func TestQuarantineOverTheAPI(t *testing.T) {
	b := openAdmin(t)
	b.get(adminapi.QuarantinePath).Wants(t, 200, `{"quarantine":[],"next_cursor":"","unreadable":[]}`)
	events := nodetest.Events(5)
	for _, event := range events {
		err := b.Quarantine.Put(t.Context(), event, "mismatch", &quarantine.Raw{Method: "POST", Path: "/app", Body: event.Body,
			Header: pillarbox.Header{{Name: "X-Gitlab-Token", Value: "canary"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	first := b.get(adminapi.QuarantinePath + "?limit=1")
	first.Wants(t, 200, `"reason":"mismatch"`, `"request_id":"id-000"`, `"next_cursor":"id-000"`)
	b.get(adminapi.QuarantinePath+"?limit=1&cursor=id-000&source=orders").Wants(t, 200, `"request_id":"id-001"`)
	b.get(adminapi.QuarantinePath+"/id-002").Wants(t, 200, `"request_id":"id-002"`)
	if strings.Contains(first.Body, "canary") {
		t.Errorf("shown is %s", first.Body)
	}
	b.call("POST", adminapi.QuarantinePath+"/id-000/release", "").Wants(t, 409, "asks for no signature any more")
	b.call("POST", adminapi.QuarantinePath+"/id-000/release?force=maybe", "").Wants(t, 400, "true or false")
	b.call("POST", adminapi.QuarantinePath+"/id-001/release?force", "").Wants(t, 409, "there is no source orders any more")
	b.get("/api/v1/events/id-000").Wants(t, 200, `"state":"quarantined"`)
	b.call("POST", adminapi.QuarantinePath+"/id-000/release?force=true", "").Wants(t, 200, `"request_id":"id-000"`, `"status":"accepted"`)
	b.get("/api/v1/events/id-000").Wants(t, 200, `"state":"pending"`, `"unverified":"mismatch"`)
	b.call("POST", adminapi.QuarantinePath+"/id-001/discard", "").Wants(t, 204)
	for _, path := range []string{"/id-000/release", "/id-001/discard", "/nothing/discard"} {
		b.call("POST", adminapi.QuarantinePath+path, "").Wants(t, 404, "there is no request")
	}
	b.get(adminapi.QuarantinePath+"/id-001").Wants(t, 404, "there is no request")
	b.get("/api/v1/audit").Wants(t, 200, `"quarantined":3`)
	b.get("/api/v1/status").Wants(t, 200, `"quarantine":{"requests":3,`)
	err := b.Quarantine.Decide("id-002", quarantine.Released, func(*quarantine.Entry, *quarantine.Raw) error {
		b.call("POST", adminapi.QuarantinePath+"/id-002/discard", "").Wants(t, 409, "somebody else decides")
		return errors.New("not now")
	})
	if err == nil {
		t.Error("what was not accepted is released")
	}
}
