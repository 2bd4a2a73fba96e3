package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"pillarbox/internal/benchmark"
)

// section is a table with its title.
type section struct {
	title string
	table benchmark.Table
}

func sectionsOf(report *benchmark.Report) []section {
	sections := []section{{"Figures", report.Figures()}, {"Goals", report.Judgement()}}
	if len(report.Pairs) > 0 {
		sections = append(sections, section{"Destinations, beside the same by hand", report.Beside()})
	}
	if len(report.Lives) > 0 {
		sections = append(sections, section{"Long lives and backlogs", report.Longer()})
	}
	return append(sections, section{"What an acknowledgement means", report.Meanings()})
}

func printReport(w io.Writer, report *benchmark.Report) error {
	for _, s := range sectionsOf(report) {
		fmt.Fprintf(w, "\n%s\n\n", s.title)
		out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for _, row := range append([][]string{s.table.Head}, s.table.Body...) {
			fmt.Fprintln(out, strings.Join(row, "\t"))
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n\n%s\n", strings.Join(report.Circumstances(), "\n"),
		report.Verdict)
	return err
}

// markdown is the report for readers of the repository.
func markdown(report *benchmark.Report) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Measured on %s\n\n%s\n\n", report.Started.Format("2006-01-02"),
		report.Verdict)
	for _, line := range report.Circumstances() {
		fmt.Fprintf(&out, "- %s\n", line)
	}
	for _, s := range sectionsOf(report) {
		fmt.Fprintf(&out, "\n## %s\n\n", s.title)
		markdownRow(&out, s.table.Head)
		fmt.Fprintf(&out, "|%s\n", strings.Repeat("---|", len(s.table.Head)))
		for _, row := range s.table.Body {
			markdownRow(&out, row)
		}
	}
	return out.Bytes()
}

func markdownRow(out *bytes.Buffer, cells []string) {
	for _, cell := range cells {
		cell = strings.ReplaceAll(strings.ReplaceAll(cell, "|", "\\|"), "\n", " ")
		fmt.Fprintf(out, "| %s ", cell)
	}
	out.WriteString("|\n")
}

// keep writes the dated results and the chart.
func keep(o options, report *benchmark.Report) error {
	if o.out != "" {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return err
		}
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		name := filepath.Join(o.out, report.Started.Format("2006-01-02")+"-"+report.Commit)
		if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(name+".md", markdown(report), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "written: %s.json and .md\n", name)
	}
	if o.chart == "" {
		return nil
	}
	drawn := chart(report)
	if drawn == nil {
		fmt.Fprintln(os.Stderr, "no chart: nothing was measured at 256 connections")
		return nil
	}
	return os.WriteFile(o.chart, drawn, 0o644)
}
