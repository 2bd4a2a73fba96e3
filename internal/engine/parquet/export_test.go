package parquet

import "pillarbox"

// RecordPurges is what a manifest remembers of the steps of purges. A thousand real ones take long.
func RecordPurges(steps []pillarbox.Purge) []pillarbox.Purge {
	var m manifest
	for _, step := range steps {
		m.recordPurge(step)
	}
	return m.Purges
}
