package console

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
)

// WriteTrace writes all that is known of one event, in the order of time.
func WriteTrace(w io.Writer, story *adminapi.Trace, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, story)
	}
	event, first := story.Event, "accepted"
	if story.State == pillarbox.StateQuarantined {
		first = story.State
	}
	steps := []storyStep{{event.Timestamp, first, event.Source,
		fmt.Sprintf("%s %s, %d bytes of %s from %s", event.Method, event.Path, len(event.Body),
			event.ContentType, event.RemoteAddr) + factsText(event.Facts)}}
	for _, delivery := range story.Deliveries {
		steps = append(steps, stepsOf(delivery)...)
	}
	slices.SortStableFunc(steps, func(a, b storyStep) int { return cmp.Compare(uint64(a.at-1), uint64(b.at-1)) }) // 0 comes last
	table := Rows{Head: []string{"time", "what", "where", "detail"}}
	for _, step := range steps {
		table.Add(Time(step.at), step.what, step.where, step.detail)
	}
	if err := table.Write(w, form); err != nil || form.Kind == CSV {
		return err
	}
	_, err := fmt.Fprintf(w, "\nthe event %s\n", stateText(story))
	return err
}

// factsText says what is known of an event, behind the words about its request.
func factsText(facts *pillarbox.Facts) string {
	if facts == nil {
		return ""
	}
	var words []string
	for i, text := range facts.Texts() {
		if *text != "" {
			words = append(words, strings.Replace(pillarbox.FactNames()[i], "removed", "not kept:", 1)+" "+*text)
		}
	}
	for _, a := range facts.Attributes {
		words = append(words, a.Name+" "+a.Value)
	}
	return "; " + strings.Join(words, ", ")
}

// stateText says what has become of an event. What was purged counts as stored, and a person is
// told that it is nowhere any more.
func stateText(story *adminapi.Trace) string {
	there := func(d ledger.Delivery) bool {
		return d.State == pillarbox.StateStored && d.PurgedAt == nil
	}
	if story.State == pillarbox.StateStored && !slices.ContainsFunc(story.Deliveries, there) {
		return "was stored, and is purged"
	}
	if story.State == pillarbox.StateQuarantined {
		return "is in quarantine, because its signature fails; \"pillarbox quarantine\" releases or discards it"
	}
	return "is " + story.State
}

// skipText is a rule by which an event was skipped, in words, and its filter.
func skipText(rule, where string) string {
	words := map[string]string{
		pillarbox.SkippedBefore:    "accepted before the destination began",
		pillarbox.SkippedSource:    "the destination did not take its source when it was accepted",
		pillarbox.SkippedFilter:    "the filter of the destination did not take it when it was accepted",
		pillarbox.SkippedElsewhere: "the destination does not take it any more, and another one has it",
		pillarbox.SkippedRouted:    "it was held, and a person gave it to another destination",
		pillarbox.SkippedForgotten: "it was held, and a person gave it up",
		pillarbox.SkippedCanary:    "it is of the built-in canary, which stays nowhere",
	}
	if where != "" {
		where = ": " + where
	}
	return fmt.Sprintf("%s (rule %q)%s", words[rule], rule, where)
}

// storyStep is one thing that happened to an event.
type storyStep struct {
	at                  pillarbox.Timestamp // 0 for what is so now
	what, where, detail string
}

func stepsOf(d ledger.Delivery) (steps []storyStep) {
	for i, attempt := range d.Attempts {
		steps = append(steps, storyStep{attempt.At, fmt.Sprintf("attempt %d %s", i+1, attempt.Class),
			d.Destination, attempt.Error})
	}
	if d.DeadAt != nil {
		steps = append(steps, storyStep{*d.DeadAt, "dead letter", d.Destination,
			cmp.Or(d.DeathReason, d.Reason)})
	}
	if d.Resolved != nil {
		steps = append(steps, storyStep{d.Resolved.At, d.Resolved.How, d.Destination, ""})
	}
	switch {
	case d.PurgedAt != nil:
		steps = append(steps, storyStep{*d.PurgedAt, "purged", d.Destination,
			fmt.Sprintf("stored, and deleted by \"pillarbox purge\" at %s", d.PurgedAt)})
	case d.StoredAt != nil:
		steps = append(steps, storyStep{*d.StoredAt, "stored", d.Destination, ""})
	case d.State == pillarbox.StatePending, d.State == ledger.StateHeld:
		steps = append(steps, storyStep{0, d.State, d.Destination, d.Reason})
	case d.State == ledger.StateSkipped:
		steps = append(steps, storyStep{0, d.State, d.Destination, skipText(d.Reason, d.Where)})
	case d.DeadAt == nil && d.Reason != "": // a row or a letter that can't be read
		steps = append(steps, storyStep{0, d.State, d.Destination, d.Reason})
	case d.Replay != "":
		steps = append(steps, storyStep{0, "replay it with", d.Destination, d.Replay})
	}
	return steps
}
