package adminapi

import (
	"net/http"

	"pillarbox"
	"pillarbox/internal/ledger"
	"pillarbox/internal/protocol"
)

const ReceiptsPath = "/api/v1/audit/receipts"

// MaxReceiptID bounds the request id of a receipt in bytes, so that ledger.MaxReceipts of those
// that pillarbox gives fit into a request.
const MaxReceiptID = 512

// ReceiptRequest names events that clients have receipts of. There may be ledger.MaxReceipts, and
// MaxReplayBytes of JSON.
type ReceiptRequest struct {
	Receipts []ReceiptKey `json:"receipts"`
}

// ReceiptKey is the part of a receipt that names its event.
type ReceiptKey struct {
	RequestID string              `json:"request_id"`
	Timestamp pillarbox.Timestamp `json:"timestamp"`
}

// UnmarshalJSON reads it as strictly as the request that it stands in.
func (r *ReceiptKey) UnmarshalJSON(text []byte) error {
	type plain ReceiptKey
	return decodeStrictly(text, (*plain)(r))
}

// Check refuses what names no event, as ErrInvalid.
func (r ReceiptKey) Check() error {
	switch {
	case r.RequestID == "":
		return protocol.Invalid("there is no request_id")
	case len(r.RequestID) > MaxReceiptID:
		return protocol.Invalid("request_id has %d bytes; there may be %d", len(r.RequestID),
			MaxReceiptID)
	case r.Timestamp == 0:
		return protocol.Invalid("there is no timestamp")
	}
	return nil
}

// receipts says where the events of receipts are.
func (a *Handler) receipts(w http.ResponseWriter, r *apiRequest) error {
	var asked ReceiptRequest
	if err := readRequest(w, r.Request, &asked, "a list of receipts", ""); err != nil {
		return err
	}
	if n := len(asked.Receipts); n < 1 || n > ledger.MaxReceipts {
		return protocol.Invalid("receipts has %d items; there may be 1 to %d", n, ledger.MaxReceipts)
	}
	keys := make([]pillarbox.Key, len(asked.Receipts))
	for i, receipt := range asked.Receipts {
		if err := receipt.Check(); err != nil {
			return protocol.Invalid("receipts[%d]: %v", i, err)
		}
		keys[i] = pillarbox.Key{Timestamp: receipt.Timestamp, RequestID: receipt.RequestID}
	}
	protocol.LiftTimeouts(w) // it may read all that the queue has
	check, err := a.node.Receipts(r.Context(), keys)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, check)
	return nil
}
