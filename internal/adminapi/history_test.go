package adminapi_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/rollup"
	"pillarbox/internal/vfs/faultfs"
)

// TestHistory is what is kept, by the minute or the hour, from an hour or a week ago where nobody says
// since when; and where nothing is kept, it says so.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0.0
		history := rollup.Open(rollup.Options{FS: faultfs.New(faultfs.Options{}), Sample: func(context.Context) (rollup.Sample, error) {
			count++
			return rollup.Sample{Counters: map[string]float64{"accepted": count}}, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- history.Run(ctx) }()
		b := openBox(t, adminapi.Options{History: history})
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		client, err := adminclient.New("http://localhost", adminclient.Options{HTTP: adminclient.InProcess(b.admin)})
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range map[adminapi.HistoryQuery]int{
			{}:                                       60,
			{Since: "2h"}:                            120,
			{Since: "2h", Until: "1h"}:               60,
			{Resolution: rollup.Hour}:                2,
			{Resolution: rollup.Hour, Until: "100m"}: 1,
		} {
			got, err := client.History(t.Context(), query)
			if err != nil || len(got.Points) != want {
				t.Errorf("%+v: %v, %v; want %d points", query, got, err, want)
			}
		}
		page := nodetest.Decode[adminapi.History](t, b.get(adminapi.HistoryPath+"?resolution=hour").Wants(t, 200).Body)
		if page.Resolution != rollup.Hour || page.Points[0].Values["accepted"] != 60 {
			t.Errorf("hours are %+v", page)
		}
		for _, query := range []string{"?resolution=day", "?since=7d", "?since=1h&until=2h", "?of=x", "?since=x"} {
			b.get(adminapi.HistoryPath+query).Wants(t, 400)
		}
		openBox(t, adminapi.Options{}).get(adminapi.HistoryPath).Wants(t, 404, "no history is kept")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
