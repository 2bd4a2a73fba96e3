package parquet

import (
	"bytes"
	"strings"

	"pillarbox/internal/vfs"
)

// duckdbView is SQL for DuckDB. What counts is read at one moment, from one file that is replaced as a
// whole; the files that it names are there for the grace of the store. A table function takes no
// query, so the names go through variables.
const duckdbView = `-- Makes the view events of exactly what is stored, as of now. Run it again to see what came since:
--   duckdb -init _pillarbox/duckdb.sql
-- pillarbox writes this file at each start.HINT
SET VARIABLE pillarbox_dir = 'DIRECTORY/';
SET VARIABLE pillarbox_manifest = (SELECT content FROM read_text(getvariable('pillarbox_dir') || '_pillarbox/manifest.json'));
SET VARIABLE pillarbox_days = (SELECT [getvariable('pillarbox_dir') || '_pillarbox/none.json'] || list_transform(
  coalesce(from_json(json_extract(getvariable('pillarbox_manifest'), '$.days[*].file'), '["VARCHAR"]'), []), lambda f: getvariable('pillarbox_dir') || f));
SET VARIABLE pillarbox_files = (SELECT [getvariable('pillarbox_dir') || '_pillarbox/none'] || coalesce(list(getvariable('pillarbox_dir') || file), []) FROM (
  SELECT unnest(from_json(json_extract(content, '$.files[*].path'), '["VARCHAR"]')) AS file FROM read_text(getvariable('pillarbox_days'))
  EXCEPT SELECT unnest(from_json(json_extract(getvariable('pillarbox_manifest'), '$.removed[*]'), '["VARCHAR"]'))
  UNION ALL SELECT unnest(from_json(json_extract(getvariable('pillarbox_manifest'), '$.added[*].path'), '["VARCHAR"]'))));
CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM read_parquet(getvariable('pillarbox_files'), hive_partitioning = false);
`

// duckdbSecret is what stands in the view of a bucket. The secret is not made by it: one that finds no
// credentials is an error, also where there is another one already.
const duckdbSecret = ` It reads a bucket: tell DuckDB who you are before, once for all, by one of
--   CREATE PERSISTENT SECRET pillarbox (TYPE s3, PROVIDER credential_chain);
--   CREATE PERSISTENT SECRET pillarbox (TYPE s3, KEY_ID '...', SECRET '...', ENDPOINT 'HOST:PORT', URL_STYLE 'path');`

// writeView writes the view where it is not what it should be, as in a directory that was moved.
func (s *Store) writeView(fsys vfs.FS) error {
	hint := ""
	if s.disk.shared {
		hint = duckdbSecret
	}
	want := []byte(strings.NewReplacer("DIRECTORY", strings.ReplaceAll(s.disk.path, "'", "''"), "HINT", hint).Replace(duckdbView))
	if have, err := vfs.ReadFile(fsys, viewFile, manifestSize); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return vfs.WriteFile(fsys, viewFile, want)
}
