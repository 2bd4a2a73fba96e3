package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pillarbox"
)

// Quiet is when nobody is told what is of a low severity. The zero value is never.
type Quiet struct {
	From, To int            // minutes of the day, by the clock on the wall; none where they are the same
	Days     []time.Weekday // on which all of the day is quiet
	Zone     *time.Location // of that clock; UTC where nil
}

// dayNames are the days of a week, from time.Sunday.
var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseQuiet reads hours as in 22:00 and 07:00, days as in sat, and a time zone as in
// Europe/Berlin. All may be empty. Errors: ErrInvalid, which begins with the key that is wrong.
func ParseQuiet(from, to, zone string, days []string) (Quiet, error) {
	var q Quiet
	var err error
	switch {
	case (from == "") != (to == ""):
		return q, pillarbox.Invalid("from: has no effect without to, nor to without from; set both, or neither")
	case from != "" && from == to:
		return q, pillarbox.Invalid("to: is the same as from, so that there are no quiet hours; days have whole days")
	case from == "" && len(days) == 0 && zone != "":
		return q, pillarbox.Invalid("time_zone: has no effect without quiet hours or days")
	}
	if q.From, err = minuteOf("from", from); err != nil {
		return q, err
	}
	if q.To, err = minuteOf("to", to); err != nil {
		return q, err
	}
	for _, name := range days {
		at := slices.Index(dayNames, strings.ToLower(name))
		if at < 0 || slices.Contains(q.Days, time.Weekday(at)) {
			return q, pillarbox.Invalid("days: %q is none, or there twice; want of %s", name,
				strings.Join(dayNames, ", "))
		}
		q.Days = append(q.Days, time.Weekday(at))
	}
	if len(q.Days) == len(dayNames) {
		return q, pillarbox.Invalid("days: are all days, so that nobody is ever told what is low; leave a receiver's severities to high in place of that")
	}
	if q.Zone, err = time.LoadLocation(zone); err != nil {
		return q, pillarbox.Invalid("time_zone: %q is no time zone; want one as in Europe/Berlin", zone)
	}
	return q, nil
}

func minuteOf(key, text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		return 0, pillarbox.Invalid("%s: %q is no time of a day; want one as in 22:00", key, text)
	}
	return at.Hour()*60 + at.Minute(), nil
}

// IsSet reports whether there are any.
func (q *Quiet) IsSet() bool { return q.From != q.To || len(q.Days) > 0 }

// At reports whether a moment is in quiet hours. What the clock on the wall shows counts, also on
// days on which it is set: an hour that comes twice is quiet twice.
func (q *Quiet) At(t time.Time) bool {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := t.In(zone)
	if slices.Contains(q.Days, local.Weekday()) {
		return true
	}
	minute := local.Hour()*60 + local.Minute()
	if q.From <= q.To {
		return q.From <= minute && minute < q.To
	}
	return minute >= q.From || minute < q.To
}

// String says when, for people.
func (q *Quiet) String() string {
	if !q.IsSet() {
		return "never"
	}
	text := ""
	if q.From != q.To {
		text = fmt.Sprintf("%02d:%02d to %02d:%02d", q.From/60, q.From%60, q.To/60, q.To%60)
	}
	for _, day := range q.Days {
		text += " " + dayNames[day]
	}
	return strings.TrimSpace(text)
}
