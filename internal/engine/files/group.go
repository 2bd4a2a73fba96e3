package files

import "pillarbox"

// group is what one call changes.
type group struct {
	entries []entry
	rows    []row
	places  map[id]int
	refused pillarbox.BatchError
}

func (g *group) refuse(index int, err error) {
	g.refused.Items = append(g.refused.Items, pillarbox.ItemError{Index: index, Err: err})
}

// add adds a change; a later one of the same letter takes the place of the earlier.
func (g *group) add(entry entry, row row) {
	if at, twice := g.places[entry.letter]; twice {
		g.entries[at], g.rows[at] = entry, row
		return
	}
	if g.places == nil {
		g.places = map[id]int{}
	}
	g.places[entry.letter] = len(g.entries)
	g.entries, g.rows = append(g.entries, entry), append(g.rows, row)
}

func (g *group) err() error {
	if len(g.refused.Items) == 0 {
		return nil
	}
	return &g.refused
}
