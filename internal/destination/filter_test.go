package destination_test

import (
	"errors"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/destination"
)

// bodyIs is a filter that takes events with that body, and can't tell of one that is "?".
type bodyIs string

func (b bodyIs) Takes(event *pillarbox.Event) (bool, error) {
	if string(event.Body) == "?" {
		return false, errors.New("can't tell")
	}
	return string(event.Body) == string(b), nil
}

func compileBodyIs(expression string) (destination.Filter, error) {
	if strings.HasPrefix(expression, "bad") {
		return nil, pillarbox.Invalid("no expression")
	}
	return bodyIs(expression), nil
}

func from(sources []string, where string) *pillarbox.Rule {
	return &pillarbox.Rule{Sources: sources, Where: where}
}

// TestDecisions is the table of what becomes of an event: what it was meant for is fixed when it is
// accepted.
func TestDecisions(t *testing.T) {
	app := []string{"app"}
	for name, c := range map[string]struct {
		then, today *pillarbox.Rule
		body        string
		elsewhere   bool
		routed      bool
		refuse      bool
		want        destination.Decision
		fails       bool
	}{
		"passes":                         {then: from(app, "a"), today: from(app, "a"), body: "a"},
		"does not pass":                  {then: from(app, "a"), today: from(app, "a"), body: "b", want: destination.Decision{Skip: pillarbox.SkippedFilter}},
		"another source":                 {then: from([]string{"x"}, "a"), today: from(app, "a"), body: "a", want: destination.Decision{Skip: pillarbox.SkippedSource}},
		"by a person's word":             {then: from(app, "a"), today: from(app, "a"), body: "b", routed: true},
		"the filter is gone":             {then: from(app, "a"), today: from(app, ""), body: "b", want: destination.Decision{Skip: pillarbox.SkippedFilter}},
		"the filter is gone, and passed": {then: from(app, "a"), today: from(app, ""), body: "a"},
		"the filter is new":              {then: from(app, ""), today: from(app, "a"), body: "b", want: destination.Decision{Hold: true}},
		"another filter":                 {then: from(app, "b"), today: from(app, "a"), body: "b", want: destination.Decision{Hold: true}},
		"another filter, and had elsewhere": {then: from(app, "b"), today: from(app, "a"), body: "b", elsewhere: true,
			want: destination.Decision{Skip: pillarbox.SkippedElsewhere}},
		"another filter, and not meant then": {then: from(app, "c"), today: from(app, "a"), body: "a", want: destination.Decision{Skip: pillarbox.SkippedFilter}},
		"not known then":                     {today: from(app, "a"), body: "b", want: destination.Decision{Hold: true}},
		"not known then, and passes":         {today: from(app, "a"), body: "a"},
		"can't tell":                         {then: from(app, "a"), today: from(app, "a"), body: "?", fails: true},
		"can't tell, and that is refused":    {then: from(app, "a"), today: from(app, "a"), body: "?", refuse: true, fails: true, want: destination.Decision{Refuse: true}},
		"could not tell then":                {then: from(app, "b"), today: from(app, ""), body: "?"},
		"the old filter is no expression":    {then: from(app, "bad"), today: from(app, ""), body: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := []destination.Settings{{Name: "events", Rule: c.today, RefuseFailed: c.refuse}}
			if c.elsewhere {
				settings = append(settings, destination.Settings{Name: "other", Rule: from(app, "b")})
			}
			table, err := destination.Compile(settings, func(string, pillarbox.Handle) *pillarbox.Rule { return from(app, "b") }, compileBodyIs)
			if err != nil {
				t.Fatal(err)
			}
			event := &pillarbox.Event{Source: "app", Body: []byte(c.body)}
			got := table.Get("events").Decide(&pillarbox.Delivery{Event: event, Rule: c.then, Routed: c.routed})
			if (got.Failed != nil) != c.fails {
				t.Errorf("failed: %v", got.Failed)
			}
			if got.Failed = nil; got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestFiltersWithoutAPast are those of a queue that remembers no rules: today's is the one that counts.
func TestFiltersWithoutAPast(t *testing.T) {
	table, err := destination.Compile([]destination.Settings{{Name: "events", Rule: from(nil, "a")}}, nil, compileBodyIs)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{"a": "", "b": pillarbox.SkippedFilter, "?": ""} {
		got := table.Get("events").Decide(&pillarbox.Delivery{Event: &pillarbox.Event{Source: "any", Body: []byte(body)}})
		if got.Skip != want || got.Hold {
			t.Errorf("%s: %+v, want %q", body, got, want)
		}
	}
}

// TestWhatABackfillGives is what would be delivered live.
func TestWhatABackfillGives(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		table, err := destination.Compile([]destination.Settings{{Name: "events", Rule: from(nil, "a"), RefuseFailed: refuse}}, nil, compileBodyIs)
		if err != nil {
			t.Fatal(err)
		}
		for body, want := range map[string]bool{"a": true, "b": false, "?": !refuse} {
			if got := table.Get("events").Fills(&pillarbox.Event{Body: []byte(body)}); got != want {
				t.Errorf("refuse %v, %s: %v, want %v", refuse, body, got, want)
			}
		}
	}
}

func TestAFilterThatIsNone(t *testing.T) {
	_, err := destination.Compile([]destination.Settings{{Name: "events", Rule: from(nil, "bad")}}, nil, compileBodyIs)
	if !errors.Is(err, pillarbox.ErrInvalid) || !strings.HasPrefix(err.Error(), "destinations.events.where: ") {
		t.Error(err)
	}
	table, err := destination.Compile([]destination.Settings{{Name: "events", Rule: from(nil, "a")}}, nil, compileBodyIs)
	if err != nil {
		t.Fatal(err)
	}
	if takers := table.Takers(&pillarbox.Event{Body: []byte("b")}); len(takers) != 0 {
		t.Errorf("%v take what no filter takes", takers)
	}
}
