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
-- pillarbox writes this file at each start.SECRET
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

// duckdbSecret is what stands in the view of a bucket.
const duckdbSecret = ` It reads a bucket, and takes credentials as the AWS SDK does.
-- For a store that is not Amazon's, give the secret KEY_ID, SECRET, ENDPOINT and URL_STYLE 'path' instead of PROVIDER.
INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;
CREATE SECRET IF NOT EXISTS pillarbox (TYPE s3, PROVIDER credential_chain);`

// writeView writes the view where it is not what it should be, as in a directory that was moved.
func (s *Store) writeView(fsys vfs.FS) error {
	secret := ""
	if s.disk.shared {
		secret = duckdbSecret
	}
	want := []byte(strings.NewReplacer("DIRECTORY", strings.ReplaceAll(s.disk.path, "'", "''"), "SECRET", secret).Replace(duckdbView))
	if have, err := vfs.ReadFile(fsys, viewFile, manifestSize); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return vfs.WriteFile(fsys, viewFile, want)
}
