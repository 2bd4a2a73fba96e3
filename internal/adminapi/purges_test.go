package adminapi_test

import (
	"testing"

	"pillarbox/internal/adminapi"
)

// TestPurgesOverTheAPI begins a purge, asks for it, and cancels it when it has ended.
func TestPurgesOverTheAPI(t *testing.T) {
	b := openAdmin(t)
	b.Store(3)
	post := func(body string, status int, parts ...string) {
		t.Helper()
		b.call("POST", adminapi.PurgesPath, body).Wants(t, status, parts...)
	}
	post(`{"destination":"events"}`, 400, "older_than is empty")
	post(`{"older_than":"1d"}`, 400, "destination is empty")
	post(`{"destination":"events","older_than":"2999-01-01"}`, 400, "in the future")
	post(`{"destination":"events","older_than":"1d","rate":-1}`, 400, "rate is -1")
	post(`{"destination":"nobody","older_than":"1d"}`, 404, "nobody")
	post(`{"destination":"archive","older_than":"1d"}`, 400, "can't be purged", "TTL")
	post(`{"destination":"events","older_than":"0s","dry_run":true}`, 200, `"state":"done"`,
		`"dry_run":true`, `"purged":0`)
	post(`{"destination":"events","older_than":"0s"}`, 202, `"id":"1"`)
	b.call("DELETE", adminapi.PurgesPath+"/1", "").Wants(t, 200, `"id":"1"`)
	b.get(adminapi.PurgesPath+"/1").Wants(t, 200, `"destination":"events"`)
	b.get(adminapi.PurgesPath).Wants(t, 200, `"purges":[{"id":"1"`)
	b.get(adminapi.PurgesPath+"/2").Wants(t, 404, "purge")
}
