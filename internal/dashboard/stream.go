package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

const (
	livePeriod   = time.Second // between two looks of a page that somebody watches
	liveRest     = 9           // times as long as a look took, at least
	liveBeat     = 15 * time.Second
	maxTopics    = 50 // different pages that are watched at a time
	maxLiveQuery = 2 << 10
)

// hub keeps the pages up to date that somebody watches: one look a second for all who watch the same.
// All methods may be called concurrently.
type hub struct {
	dashboard *Dashboard
	stop      chan struct{}
	stopped   sync.Once

	mu      sync.Mutex
	viewers int
	topics  map[string]*topic
}

// topic is a page with its filter, and who watches it.
type topic struct {
	page    *page
	viewers map[*viewer]bool
}

// viewer is one browser.
type viewer struct {
	request *http.Request
	updates chan []byte // holds the latest
}

func newHub(d *Dashboard) *hub {
	return &hub{dashboard: d, stop: make(chan struct{}), topics: map[string]*topic{}}
}

func (h *hub) close() { h.stopped.Do(func() { close(h.stop) }) }

var errCrowded = errors.New("too many people watch; reload the page for what is new")

// join adds a viewer, and begins to look where it is the first.
func (h *hub) join(p *page, v *viewer) (leave func(), err error) {
	key := p.template + "?" + v.request.URL.RawQuery
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[key]
	if h.viewers >= h.dashboard.opts.MaxViewers || t == nil && len(h.topics) >= maxTopics {
		return nil, errCrowded
	}
	if t == nil {
		t = &topic{page: p, viewers: map[*viewer]bool{}}
		h.topics[key] = t
		go h.watch(key, t)
	}
	t.viewers[v] = true
	h.viewers++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(t.viewers, v)
		h.viewers--
	}, nil
}

// watch looks at a page until nobody does.
func (h *hub) watch(key string, t *topic) {
	for rest := livePeriod; ; {
		timer := time.NewTimer(rest)
		select {
		case <-h.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		one := h.anyone(key, t)
		if one == nil {
			return
		}
		begun := time.Now()
		text, err := h.render(t.page, one.request)
		rest = max(livePeriod, liveRest*time.Since(begun))
		if err != nil {
			h.tell(t, one, err)
			continue
		}
		h.spread(t, text)
	}
}

// anyone returns a viewer in whose name the page may be asked for. Where there is none the topic ends.
func (h *hub) anyone(key string, t *topic) *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range t.viewers {
		return v
	}
	delete(h.topics, key)
	return nil
}

// tell ends the stream of who may not look any more. What else goes wrong is told by the page itself
// when it is reloaded; the next look may go well.
func (h *hub) tell(t *topic, v *viewer, err error) {
	var problem *apiError
	if errors.As(err, &problem) && problem.Status == http.StatusUnauthorized {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.viewers[v] {
			delete(t.viewers, v)
			close(v.updates)
		}
		return
	}
	if !errors.Is(err, context.Canceled) {
		h.dashboard.opts.Logger.Warn("a page can't be kept up to date", telemetry.KeyRoute, t.page.pattern, telemetry.KeyErr, err)
	}
}

func (h *hub) spread(t *topic, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range t.viewers {
		select {
		case <-v.updates: // what it has not taken is old
		default:
		}
		v.updates <- text
	}
}

// render renders what is kept up to date of a page.
func (h *hub) render(p *page, r *http.Request) ([]byte, error) {
	v := &view{Request: r}
	data, err := p.data(h.dashboard, v)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = h.dashboard.pages[p.template].ExecuteTemplate(&text, "live", data)
	return text.Bytes(), err
}

// serve streams what is new of a page.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if isForeign(r, false) {
		refuse(w, http.StatusForbidden, foreignSite)
		return
	}
	p := livePage(r.URL.Query().Get("page"))
	var who identity
	err := h.dashboard.ask(r, "/api/v1/session", &who)
	var problem *apiError
	switch {
	case errors.As(err, &problem):
		refuse(w, problem.Status, problem.Error())
		return
	case p == nil || len(r.URL.RawQuery) > maxLiveQuery:
		refuse(w, http.StatusNotFound, "there is no such page to watch")
		return
	}
	me := &viewer{request: r, updates: make(chan []byte, 1)}
	leave, err := h.join(p, me)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer leave()
	protocol.LiftTimeouts(w)
	w.Header().Set("Content-Type", "text/event-stream")
	h.send(w, r, me)
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, detail string) {
	protocol.WriteProblem(w, &protocol.Error{Status: status, Detail: detail})
}

func livePage(name string) *page {
	for i := range pages {
		if pages[i].template == name && pages[i].live {
			return &pages[i]
		}
	}
	return nil
}

func (h *hub) send(w http.ResponseWriter, r *http.Request, me *viewer) {
	out := http.NewResponseController(w)
	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	var last []byte
	for text := []byte(nil); ; {
		if text != nil && !bytes.Equal(text, last) {
			last = text
			text = event(text)
		} else {
			text = []byte(": alive\n\n")
		}
		_ = out.SetWriteDeadline(time.Now().Add(liveBeat)) // who does not take it in that time is gone
		if _, err := w.Write(text); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-h.stop:
			return
		case <-r.Context().Done():
			return
		case <-beat.C:
			text = nil
		case update, more := <-me.updates:
			if !more {
				return
			}
			text = update
		}
	}
}

// event is a text as an event of a stream.
func event(text []byte) []byte {
	return fmt.Appendf(nil, "data: %s\n\n", strings.ReplaceAll(string(text), "\n", "\ndata: "))
}
