package adminapi_test

import (
	"fmt"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
)

// TestReceiptsAreRefusedAsAWhole where one of them names no event, or there are too many.
func TestReceiptsAreRefusedAsAWhole(t *testing.T) {
	b := openAdmin(t)
	events := b.Store(1)
	good := fmt.Sprintf(`{"request_id":%q,"timestamp":%q}`, events[0].RequestID, events[0].Timestamp)
	post := func(list string, status int, parts ...string) {
		t.Helper()
		b.call("POST", adminapi.ReceiptsPath, `{"receipts":[`+list+`]}`).Wants(t, status, parts...)
	}
	post(good+`,{"request_id":"x","timestamp":"2026-11-23T14:12:00.123456Z"}`, 200,
		`"checked":2,"stored":1,`, `"lost":1,"missing":[{"request_id":"x"`)
	post("", 400, "there may be 1 to 5000")
	post(good+`,{"request_id":"x"}`, 400, "receipts[1]", "no timestamp")
	post(`{"timestamp":"2026-11-23T14:12:00.123456Z"}`, 400, "receipts[0]", "no request_id")
	post(strings.Replace(good, "id-000", strings.Repeat("x", adminapi.MaxReceiptID+1), 1), 400,
		"there may be 512")
	post(strings.Repeat(good+",", ledger.MaxReceipts)+good, 400, "5001 items")
	post(strings.Repeat(good+",", ledger.MaxReceipts-1)+good, 200, `"stored":5000`)
	post(`{"request_id":"x","timestamp":"2026-11-23T14:12:00.123456Z","name":1}`, 400, "name")
	post(strings.Repeat(" ", adminapi.MaxReplayBytes), 413)
}
