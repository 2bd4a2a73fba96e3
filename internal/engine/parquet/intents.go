package parquet

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// intents are where it is written down which files a change is about to put in their places: one of
// the writes, and one of what is beside them.
type intents struct{ write, rewrite string }

// maxIntents is how many intents of writers before are kept, where there may be several. One of those
// may not know yet that it writes no more, and put a file in its place after the intent was looked at.
const maxIntents = 16

// settleIntents undoes the changes that were at hand, unless they have happened. claims says that another
// writer had the place before.
func (s *Store) settleIntents(v *view, first, claims bool) error {
	if !s.disk.shared {
		s.intents = intents{write: intentFile, rewrite: rewriteIntent}
	}
	if s.disk.shared && (first || claims) {
		if err := s.settleAll(v); err != nil {
			return err
		}
		// In the order of the names the oldest comes first.
		of := fmt.Sprintf("%s/%010x-%s", intentsDir, v.Generation, s.writer)
		s.intents = intents{write: of + "-write.json", rewrite: of + "-rewrite.json"}
		return nil
	}
	return errors.Join(s.removeUnnamed(v, s.intents.write), s.removeUnnamed(v, s.intents.rewrite))
}

// settleAll looks at the intents of all writers, and forgets the oldest.
func (s *Store) settleAll(v *view) error {
	names, err := v.fsys.Names(intentsDir)
	if err != nil && !notExist(err) {
		return err
	}
	slices.Sort(names)
	var old []string
	for i, name := range names {
		name = path.Join(intentsDir, name)
		if err := s.removeUnnamed(v, name); err != nil {
			return err
		}
		if i < len(names)-maxIntents {
			old = append(old, name)
		}
	}
	return s.removeFiles(v.fsys, old)
}

// removeUnnamed undoes a change that was at hand, as an intent tells, unless it has happened.
func (s *Store) removeUnnamed(v *view, intentName string) error {
	var left intent
	err := readChecked(v.fsys, intentName, &left)
	switch {
	case notExist(err):
		return nil
	case errors.Is(err, pillarbox.ErrCorrupt):
		// What counts is not in doubt. What it names may be there beside that.
		s.options.Logger.Warn("a file is damaged that names unfinished files; a reader that does not use the manifest may meet events twice",
			telemetry.KeyDatabase, s.dir, telemetry.KeyErr, err)
		return nil
	case err != nil:
		return err
	}
	var unnamed []string
	for _, name := range left.Paths {
		named, err := v.named(name)
		if err != nil {
			return err
		}
		kept := slices.ContainsFunc(v.Retired, func(r retired) bool { return r.Path == name })
		if !named && !kept && !s.building[name] {
			unnamed = append(unnamed, name)
		}
	}
	return s.removeFiles(v.fsys, unnamed)
}
