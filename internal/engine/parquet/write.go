package parquet

import (
	"context"
	"errors"
	"slices"
	"sync"

	"pillarbox"
)

// Write implements pillarbox.Sink in one change of the manifest. Next to what the contract says:
//   - ErrUnavailable for everything that is wrong with the directory and not with an event. A full disk
//     matches ErrNoSpace, too.
//   - *pillarbox.BatchError for events that can't be rows, for good, and for those whose key is in the
//     range of a file that is damaged, for now: nobody can tell whether they are stored.
func (s *Store) Write(ctx context.Context, events []*pillarbox.Event) error {
	var items []pillarbox.ItemError
	err := s.call(ctx, "write to", func() error {
		if len(events) == 0 {
			return nil
		}
		if err := s.lock(ctx); err != nil {
			return err
		}
		defer s.unlock()
		v, err := s.readyLocked(ctx)
		if err != nil {
			return err
		}
		items, err = s.writeLocked(ctx, v, events)
		return err
	})
	if err == nil && len(items) > 0 {
		return &pillarbox.BatchError{Items: items}
	}
	return err
}

// keyed is the key of an event, and where the event is in the batch.
type keyed struct {
	pillarbox.Key
	index int
}

func (s *Store) writeLocked(ctx context.Context, v *view, events []*pillarbox.Event) ([]pillarbox.ItemError, error) {
	b := batch{events: events, at: max(s.latest, pillarbox.TimestampOf(s.options.Now())), partitions: map[string][]int{}}
	s.latest = b.at
	order, items := inOrder(events)
	b.items = items
	keys := make([]pillarbox.Key, len(order))
	for i := range order {
		keys[i] = order[i].Key
	}
	there, unknown, err := v.asLast().stored(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, k := range order {
		if why := unknown[i]; why != nil {
			b.items = append(b.items, pillarbox.ItemError{Index: k.index, Err: why})
		} else if !there[i] {
			b.place(k.index)
		}
	}
	files, err := s.build(ctx, v, &b)
	if err != nil || len(files) == 0 {
		return b.items, err
	}
	return b.items, s.publish(ctx, files, func(next *manifest) {
		for _, f := range files {
			next.Mark += uint64(f.Rows)
		}
	})
}

// inOrder are the keys of a batch in their order, each once.
func inOrder(events []*pillarbox.Event) (order []keyed, items []pillarbox.ItemError) {
	order = make([]keyed, 0, len(events))
	for i, event := range events {
		if event.Timestamp < firstTime || event.Timestamp > lastTime {
			_, err := event.Timestamp.MarshalText()
			items = append(items, pillarbox.ItemError{Index: i, Err: pillarbox.Permanent(err)})
			continue
		}
		order = append(order, keyed{event.Key(), i})
	}
	byKey := func(a, b keyed) int { return compareKeys(a.Key, b.Key) }
	if !slices.IsSortedFunc(order, byKey) {
		slices.SortStableFunc(order, byKey)
	}
	order = slices.CompactFunc(order, func(a, b keyed) bool { return a.Key == b.Key })
	return order, items
}

// batch is a write under way.
type batch struct {
	events     []*pillarbox.Event
	at         pillarbox.Timestamp // when it is stored
	items      []pillarbox.ItemError
	partitions map[string][]int // events that are new, in the order of their keys
	order      []string         // of the partitions
	last       string           // the partition of the event before,
	source     string           // of that source
	hour       pillarbox.Timestamp
}

// place puts an event that is new into its partition.
func (b *batch) place(index int) {
	e := b.events[index]
	if hour := hourOf(e.Timestamp); b.last == "" || hour != b.hour || e.Source != b.source {
		b.last, b.source, b.hour = partitionOf(e.Source, hour), e.Source, hour
		if b.partitions[b.last] == nil {
			b.order = append(b.order, b.last)
		}
	}
	b.partitions[b.last] = append(b.partitions[b.last], index)
}

// build writes the rows to a file for each partition, under temporary names.
func (s *Store) build(ctx context.Context, v *view, b *batch) (files []built, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				if removeErr := v.fsys.Remove(f.temp); removeErr != nil {
					s.breakLocked() // so that the recovery removes it
				}
			}
		}
	}()
	for _, partition := range b.order {
		if err := ctx.Err(); err != nil {
			return files, err
		}
		f, err := s.buildOne(v, b, partition)
		if err != nil {
			return files, err
		}
		if f.Rows > 0 {
			files = append(files, f)
		}
	}
	return files, nil
}

// Sizes of what is made and encoded at once: few rows, so that they stay in the cache, and few pieces,
// because making them takes less time than encoding them.
const (
	rowsAtOnce = 512
	piecesMade = 4
)

// feed makes rows of events and hands them on, piece by piece. While one is written, the next ones are
// made.
func (b *batch) feed(indexes []int, write func(p *piece) error) error {
	made, used := make(chan *piece, piecesMade), make(chan *piece, piecesMade)
	for range piecesMade {
		used <- &piece{rows: make([]row, 0, rowsAtOnce)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var making sync.WaitGroup
	making.Go(func() {
		defer close(made)
		b.makeRows(ctx, indexes, used, made)
	})
	defer making.Wait() // after cancel
	defer cancel()
	for p := range made {
		if err := write(p); err != nil {
			return err
		}
		used <- p
	}
	return nil
}

func (b *batch) makeRows(ctx context.Context, indexes []int, used, made chan *piece) {
	var headers headerTexts
	for some := range slices.Chunk(indexes, rowsAtOnce) {
		var p *piece
		select {
		case p = <-used:
		case <-ctx.Done():
			return
		}
		p.reset()
		for _, index := range some {
			r, err := rowOf(b.events[index], b.at, &headers)
			if err != nil {
				b.items = append(b.items, pillarbox.ItemError{Index: index, Err: err})
				continue
			}
			p.add(&r)
		}
		made <- p // there is room for all pieces
	}
}

func (s *Store) buildOne(v *view, b *batch, partition string) (built, error) {
	encoder := s.encoder
	if s.encoder = nil; encoder == nil { // it is of no use after an error
		encoder = newEncoder(nil)
	}
	w, err := newWriter(v.fsys, newTemp(), encoder)
	if err != nil {
		return built{}, err
	}
	if err := b.feed(b.partitions[partition], w.write); err != nil {
		return built{}, s.abandon(w, err)
	}
	if w.entry.Rows == 0 {
		return built{}, s.abandon(w, nil)
	}
	e, err := w.finish()
	if err != nil {
		return built{}, s.abandon(w, err)
	}
	s.encoder = encoder
	e.Path = newPath(partition, v.Generation+1)
	return built{temp: w.temp, entry: e}, nil
}

// abandon removes a file that is not wanted, because of an error if there is one.
func (s *Store) abandon(w *writer, err error) error {
	if removeErr := w.abort(); removeErr != nil {
		s.breakLocked() // so that the recovery removes it
		return errors.Join(err, removeErr)
	}
	return err
}
