package adminapi

import (
	"sync"

	"pillarbox"
)

// texts are the JSON texts of batches that were just stored, made once for all followers: each of
// them gets the same slice of events. It keeps few, because a follower that is further behind is
// about to be cut off.
type texts struct {
	mu     sync.Mutex
	recent []*batchTexts // oldest first
	made   int           // texts, for the tests
}

// maxBatchTexts is how many batches keep their texts.
const maxBatchTexts = 8

// batchTexts are the texts of one batch, each made when the first follower wants it.
type batchTexts struct {
	all    *texts
	events []*pillarbox.Event
	once   []sync.Once
	texts  [][]byte
	errs   []error
}

// of finds the texts of a batch, or begins them.
func (t *texts) of(events []*pillarbox.Event) *batchTexts {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, batch := range t.recent {
		if len(events) > 0 && len(batch.events) == len(events) && &batch.events[0] == &events[0] {
			return batch
		}
	}
	n := len(events)
	batch := &batchTexts{all: t, events: events, once: make([]sync.Once, n), texts: make([][]byte, n),
		errs: make([]error, n)}
	if t.recent = append(t.recent, batch); len(t.recent) > maxBatchTexts {
		t.recent = append(t.recent[:0:0], t.recent[1:]...)
	}
	return batch
}

// forget lets all of them go.
func (t *texts) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recent = nil
}

// text is the text of one event. It must not be changed.
func (b *batchTexts) text(i int) ([]byte, error) {
	b.once[i].Do(func() {
		b.texts[i], b.errs[i] = b.events[i].MarshalJSON()
		b.all.mu.Lock()
		defer b.all.mu.Unlock()
		b.all.made++
	})
	return b.texts[i], b.errs[i]
}

// leave ends a stream. What nobody follows is not kept.
func (a *Handler) leave() {
	if a.followers.Add(-1) == 0 {
		a.texts.forget()
	}
}
