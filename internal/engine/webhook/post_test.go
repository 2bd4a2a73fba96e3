package webhook_test

import (
	"errors"
	"net/http"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/webhook"
)

// What is no event is sent under its id, signed as events are, and is taken with a 2xx alone.
func TestPostSendsWhatIsNoEvent(t *testing.T) {
	status := http.StatusAccepted
	r := receive(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(status)
		return true
	})
	s, err := webhook.Open(r.URL, webhook.Options{AllowPrivate: true, SigningSecrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Post(t.Context(), "alert_1", "application/json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	request, body := r.last()
	if h := request.Header; request.Method != http.MethodPost || h.Get("Webhook-Id") != "alert_1" || h.Get("Webhook-Signature") == "" ||
		h.Get("Content-Type") != "application/json" || string(body) != "{}" {
		t.Errorf("%s %v %s", request.Method, h, body)
	}
	if err := s.Get(t.Context(), "beat_1"); err != nil {
		t.Fatal(err)
	}
	if request, body = r.last(); request.Method != http.MethodGet || len(body) != 0 {
		t.Errorf("%s %s", request.Method, body)
	}
	for _, status = range []int{302, 400, 429, 503} {
		if err := s.Post(t.Context(), "alert_2", "application/json", nil); err == nil {
			t.Errorf("%d is no error", status)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Post(t.Context(), "alert_3", "application/json", nil); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
