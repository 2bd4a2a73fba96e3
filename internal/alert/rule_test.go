package alert

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox"
)

// A file changes limits of rules, switches them off, and has others.
func TestFileChangesRules(t *testing.T) {
	rules, err := Rules([]byte(`
rules:
  - { name: PillarboxBacklogOld, limits: { seconds: 60 }, for: 1m, severity: low }
  - { name: PillarboxPaused, off: true }
  - { name: PillarboxDeadLetters, for: 2d1h }
  - { name: PillarboxHeld, when: destination.held > limit.events, limits: { events: 7 } }
  - { name: Mine, each: destination, when: 'destination.name == "archive" && destination.pending > 1e6', for: 5m, severity: low, value: destination.pending, summary: "{value} wait for {destination}" }
`))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*Rule{}
	for _, r := range rules {
		byName[r.Name] = r
	}
	if old := byName["PillarboxBacklogOld"]; old.Limits["seconds"] != 60 || old.For != time.Minute || old.Severity != Low || old.Summary == "" {
		t.Errorf("%+v", old)
	}
	if got := byName["PillarboxDeadLetters"].For; got != 49*time.Hour {
		t.Errorf("2d1h is %s", got)
	}
	if byName["PillarboxPaused"] != nil || len(rules) != len(BuiltIn()) {
		t.Errorf("there are %d rules", len(rules))
	}
	for held, want := range map[float64]bool{7: false, 8: true} {
		r := byName["PillarboxHeld"]
		if got, err := r.holds(r.facts(map[string]any{"destination.held": held})); got != want || err != nil {
			t.Errorf("%v are held: %t, %v", held, got, err)
		}
	}
	for name, want := range map[string]bool{"archive": true, "events": false} {
		if got, err := byName["Mine"].holds(map[string]any{"destination.name": name, "destination.pending": 2e6}); got != want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if BuiltIn()[8].Limits["seconds"] == 60 {
		t.Error("a file has changed what is built in")
	}
}

// What can't work, or has no effect, is refused with the rule and what to do.
func TestRulesThatCantWorkAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"rules: [{name: PillarboxPausd, off: true}]":                                                            "there is none of this name",
		"rules: [{name: PillarboxPausd, for: 1h}]":                                                              "those that are built in are PillarboxNotAccepting",
		"rules: [{name: PillarboxPaused}]":                                                                      "nothing of it is changed",
		"rules: [{name: PillarboxPaused, off: true, for: 1h}]":                                                  "so that the rest has no effect",
		"rules: [{name: PillarboxPaused, for: 1h}, {name: PillarboxPaused, off: true}]":                         "there twice",
		"rules: [{name: PillarboxPaused, for: soon}]":                                                           "for is \"soon\"",
		"rules: [{name: PillarboxPaused, for: -1m}]":                                                            "for is \"-1m\"",
		"rules: [{name: PillarboxPaused, fro: 1h}]":                                                             "unknown field",
		"rules: [{name: PillarboxPaused, severity: urgent}]":                                                    "it may be high or low",
		"rules: [{name: PillarboxPaused, each: source}]":                                                        "it may be node, destination or certificate",
		"rules: [{name: PillarboxPaused, summary: ''}]":                                                         "the summary has 0 bytes",
		"rules: [{name: PillarboxPaused, unit: seconds}]":                                                       "without a value",
		"rules: [{name: PillarboxPaused, value: destination.pending, unit: miles}]":                             "unit is \"miles\"",
		"rules: [{name: PillarboxBacklogOld, limits: {seconds: long}}]":                                         "want a number",
		"rules: [{name: PillarboxBacklogOld, limits: {seconds: '15m'}}]":                                        "want a number",
		"rules: [{name: PillarboxBacklogOld, limits: {minutes: 1}}]":                                            "there is no limit \"minutes\"; there are: seconds",
		"rules: [{name: PillarboxPaused, when: destination.paused, limits: {a: 1}}]":                            "limit \"a\" has no effect",
		"rules: [{name: PillarboxPaused, when: destination.paused, limits: {A: 1}}]":                            "the name of a limit",
		"rules: [{name: PillarboxPaused, when: destination.pause}]":                                             "no expression in CEL",
		"rules: [{name: PillarboxPaused, when: 'destination.pending > \"1\"'}]":                                 "no matching overload",
		"rules: [{name: PillarboxPaused, when: destination.pending}]":                                           "when gives double, and must give bool",
		"rules: [{name: PillarboxPaused, when: certificate.problem}]":                                           "undeclared reference",
		"rules: [{name: PillarboxPaused, value: destination.name}]":                                             "value gives string",
		"rules: [{name: PillarboxPaused, when: 'destination.name.matches(\"(\")'}]":                             "no expression in CEL",
		"rules: [{name: 'a b', when: 'true'}]":                                                                  "the name of a rule",
		"rules: [{name: Mine, when: 'true'}]":                                                                   "severity is \"\"",
		"rules: {}":                                                                                             "",
		"rules: [{name: Mine, when: '" + strings.Repeat("true || ", 600) + "true', severity: low, summary: a}]": "bytes, and may have 4096",
		strings.Repeat("#", MaxRulesBytes+1):                                                                    "and may have 262144",
	} {
		_, err := Rules([]byte(text))
		if want == "" && err == nil {
			continue
		}
		if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.100s: %v; want %q", text, err, want)
		}
	}
	var many strings.Builder
	many.WriteString("rules:\n")
	for i := range MaxRules {
		fmt.Fprintf(&many, "  - {name: A%d, when: 'true', severity: low, summary: a}\n", i)
	}
	if _, err := Rules([]byte(many.String())); err == nil || !strings.Contains(err.Error(), "may be 200") {
		t.Error(err)
	}
}

// A condition over what is not known is not true; one that can't be told although all is known is an error.
func TestConditionsOverWhatIsNotKnown(t *testing.T) {
	rules, err := Rules([]byte(`rules: [{name: Mine, when: 'disk.flush_p99_seconds > 1.0 || queue.bytes > 5', severity: low, summary: a},
  {name: Costly, when: 'queue.bytes > 0 && [1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, a+b+c+d > 0))))', severity: low, summary: a}]`))
	if err != nil {
		t.Fatal(err)
	}
	mine, costly := rules[len(rules)-2], rules[len(rules)-1]
	for bytes, want := range map[float64]bool{1: false, 9: true} { // the other side of the or is not known
		if got, err := mine.holds(map[string]any{"queue.bytes": bytes}); got != want || err != nil {
			t.Errorf("%t, %v", got, err)
		}
	}
	if _, err := costly.holds(map[string]any{"queue.bytes": 1.0}); err == nil {
		t.Error("a condition may cost whatever it likes")
	}
	c := New(Options{Rules: []*Rule{costly}, Metrics: func() ([]Series, error) { return []Series{{Metric: "pillarbox_queue_bytes", Value: 1}}, nil }})
	c.look()
	if !c.said["Costly"] {
		t.Error("nothing is said of a condition that can't be told")
	}
}

// All that rules may use is described, and each value is of a metric that there is.
func TestValuesAreDescribed(t *testing.T) {
	for _, v := range Values() {
		if v.Doc == "" || v.Type == "" || !strings.Contains(v.Name, ".") {
			t.Errorf("%+v", v)
		}
	}
	names := map[string]bool{}
	for i := range values {
		if names[values[i].name] {
			t.Errorf("%s is there twice", values[i].name)
		}
		names[values[i].name] = true
		if values[i].over > remembered {
			t.Errorf("%s is of %s, and %s is remembered", values[i].name, values[i].over, remembered)
		}
	}
	for _, want := range []string{"destination.down", "queue.full_in_seconds"} {
		if !slices.ContainsFunc(Values(), func(v Value) bool { return v.Name == want }) {
			t.Errorf("there is no %s", want)
		}
	}
}

// The past has room for so many numbers, is of an hour, and bears a clock that is set back.
func TestPastIsBounded(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	p := newPast(at)
	for i := range MaxPast + 10 {
		p.count(fmt.Sprint(i), 1, false, at)
	}
	if len(p.Grown) != MaxPast {
		t.Errorf("there are %d", len(p.Grown))
	}
	for range 200 {
		at = at.Add(time.Minute)
		p.count("1", p.totals["1"]+1, false, at)
		p.stand("level", float64(at.Unix()), at)
		p.forget(at)
	}
	if got := p.grownBy("1", at, time.Hour); got != 60 || len(p.Grown["1"]) > 61 || len(p.Stood["level"]) > 61 {
		t.Errorf("%v of an hour, %d and %d minutes", got, len(p.Grown["1"]), len(p.Stood["level"]))
	}
	if seconds, known := p.reaches("level", float64(at.Unix()+600), at); !known || math.Abs(seconds-600) > 60 { // to the minute
		t.Errorf("%v, %t", seconds, known)
	}
	p.forget(at.Add(-time.Hour * 24))
	if len(p.Grown)+len(p.Stood) != 0 || p.Began.After(at.Add(-time.Hour*24)) {
		t.Errorf("what is in the future is left: %+v", p)
	}
	if again := (&past{Ended: at}).goOn(at.Add(time.Hour * 2)); !again.Began.Equal(at.Add(time.Hour * 2)) {
		t.Error("a gap of hours is known")
	}
}

// A message has so many items, says how many are left out, and each of its texts is bounded.
func TestMessageIsBounded(t *testing.T) {
	m := &Message{Node: "box"}
	for i := range MaxItems + 7 {
		m.Items = append(m.Items, Item{Event: EventFiring, Summary: strings.Repeat("ä", 1000), Key: fmt.Sprint(i)})
	}
	m.seal()
	if len(m.Items) != MaxItems || m.More != 7 || !strings.Contains(m.Text(), "and 7 more") || !strings.Contains(m.Title(), "57 firing") {
		t.Errorf("%d items and %d more: %s", len(m.Items), m.More, m.Title())
	}
	if n := len(m.Items[0].Summary); n > maxText || n < maxText-4 {
		t.Errorf("a text has %d bytes", n)
	}
}

// Numbers are said with their unit.
func TestValuesAreSaid(t *testing.T) {
	for _, c := range []struct {
		number float64
		unit   string
		want   string
	}{{3, "", "3"}, {0.12345, "", "0.1235"}, {1e300, "", "1e+300"}, {0.0213, unitShare, "2.1 %"}, {1536, unitBytes, "1.5 KiB"}, {0.25, unitSeconds, "250ms"}, {905, unitSeconds, "15m5s"},
		{7300, unitSeconds, "2h1m"}, {200000, unitSeconds, "2d7h"}, {-200000, unitSeconds, "-2d7h"}, {-90, unitSeconds, "-1m30s"}} {
		if got := say(c.number, c.unit); got != c.want {
			t.Errorf("%v %s is said as %q, want %q", c.number, c.unit, got, c.want)
		}
	}
}

// There are so many alerts and conditions at most, and those that are left out are counted and told.
func TestAlertsAreBounded(t *testing.T) {
	rules, err := Rules([]byte(`rules: [{name: Mine, each: destination, when: destination.down, severity: low, summary: a}, {name: Slow, each: destination, when: destination.down, for: 1h, severity: low, summary: a}]`))
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Rules: rules[len(rules)-2:], Metrics: func() (all []Series, _ error) {
		for i := range MaxPending + 10 {
			all = append(all, Series{"pillarbox_deliver_breaker_open", map[string]string{"destination": fmt.Sprint(i)}, 1})
		}
		return all, nil
	}})
	c.look()
	if len(c.state.Alerts) != MaxAlerts || len(c.state.Pending) > MaxPending || !c.full {
		t.Errorf("%d alerts, %d conditions", len(c.state.Alerts), len(c.state.Pending))
	}
}

// What can be no quiet hours is refused, with its key.
func TestQuietHoursThatAreNone(t *testing.T) {
	for want, q := range map[string]struct {
		from, to, zone string
		days           []string
	}{
		"from: has no effect": {from: "22:00"}, "to: is the same": {from: "22:00", to: "22:00"}, "time_zone: has no": {zone: "UTC"},
		"from: \"25:00\"": {from: "25:00", to: "7:00"}, "to: \"7\"": {from: "22:00", to: "7"}, "days: \"someday\"": {days: []string{"someday"}},
		"days: \"Sat\" is none, or there": {days: []string{"sat", "Sat"}}, "days: are all": {days: dayNames}, "time_zone: \"Mars\"": {from: "22:00", to: "07:00", zone: "Mars"},
	} {
		if _, err := ParseQuiet(q.from, q.to, q.zone, q.days); !errors.Is(err, pillarbox.ErrInvalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	q, err := ParseQuiet("22:00", "07:00", "", []string{"sat"})
	if err != nil || q.String() != "22:00 to 07:00 sat" || !q.IsSet() || (&Quiet{}).IsSet() || (&Quiet{}).String() != "never" {
		t.Error(q.String(), err)
	}
}
