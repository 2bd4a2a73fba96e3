package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
	"strings"

	"pillarbox/internal/benchmark"
)

// The measures of the chart, in its own units.
const (
	chartWidth = 860
	labelWidth = 280
	barWidth   = 440 // of the longest
	barHeight  = 18
	rowHeight  = 27
	topHeight  = 92
)

// chartStyle reads on white and on black. It does not ask for the reader's colour scheme: the page
// around the picture may have another one.
const chartStyle = `text{font:13px system-ui,sans-serif;fill:#737d88}.title{font-size:16px;font-weight:600}.small{font-size:12px}` +
	`.ours{fill:#1f883d}.durable{fill:#4c8bd6}.before{fill:#d08a1d}.nothing{fill:#8b949e}.bold{font-weight:700}`

// chart draws the events per second at 256 connections, the fastest first, or returns nil where
// there are none.
func chart(report *benchmark.Report) []byte {
	scenario := benchmark.ClosedLoop(256, 200)
	var rows []benchmark.Row
	for _, row := range report.Rows {
		if row.Scenario == scenario && row.Problem == "" {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortStableFunc(rows, func(a, b benchmark.Row) int { return int(b.PerSecond - a.PerSecond) })
	height := topHeight + len(rows)*rowHeight + 30
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="Events acknowledged per second">`+"\n", chartWidth, height, chartWidth, height)
	fmt.Fprintf(&out, "<style>%s</style>\n", chartStyle)
	fmt.Fprintf(&out, `<text class="title" x="10" y="24">Events acknowledged per second, %s</text>`+"\n", html.EscapeString(scenario.String()))
	m := report.Machine
	fmt.Fprintf(&out, `<text class="small" x="10" y="44">%s</text>`+"\n", html.EscapeString(fmt.Sprintf("%d cores shared with the generator, data on %s, fdatasync %.2f ms, commit %s, %s", m.Cores, m.FileSystem, report.Disk.P50, report.Commit, report.Started.Format("2006-01-02"))))
	legend(&out)
	for i, row := range rows {
		bar(&out, row, rows[0].PerSecond, topHeight+i*rowHeight)
	}
	fmt.Fprintf(&out, `<text class="small" x="10" y="%d">Medians of rounds in turns (%d); in brackets the ratio to the bare net/http handler of the same run.</text>`+"\n</svg>\n", height-10, rows[0].Rounds)
	return out.Bytes()
}

func legend(out *bytes.Buffer) {
	x := 10
	for _, entry := range []struct{ class, text string }{
		{"ours", "pillarbox, synced"}, {"durable", "others, synced"}, {"before",
			"acknowledged before fsync"}, {"nothing", "nothing stored"},
	} {
		fmt.Fprintf(out, `<rect class="%s" x="%d" y="60" width="12" height="12" rx="2"/><text class="small" x="%d" y="71">%s</text>`+"\n", entry.class, x, x+17, entry.text)
		x += 45 + 7*len(entry.text)
	}
}

func bar(out *bytes.Buffer, row benchmark.Row, longest float64, y int) {
	class, weight := classOf(row), ""
	if class == "ours" {
		weight = ` class="bold"`
	}
	width := max(int(row.PerSecond/longest*barWidth), 2)
	fmt.Fprintf(out, `<text%s x="%d" y="%d" text-anchor="end">%s</text>`, weight, labelWidth-8, y+14, html.EscapeString(row.Contender))
	fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/>`, class, labelWidth, y, width, barHeight)
	fmt.Fprintf(out, `<text%s x="%d" y="%d">%s (%.2f)</text>`+"\n", weight, labelWidth+width+6, y+14, benchmark.Grouped(row.PerSecond), row.Ratio)
}

// classOf is the colour of a bar.
func classOf(row benchmark.Row) string {
	switch {
	case strings.HasPrefix(row.Contender, benchmark.Accepting):
		return "ours"
	case row.Class == benchmark.Durable:
		return "durable"
	case row.Class == benchmark.Before:
		return "before"
	}
	return "nothing"
}
