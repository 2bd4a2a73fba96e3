// Package alert tells people what is wrong: rules over what a server measures, and receivers that
// are told when one begins to hold, every so often while it does, and when it holds no more.
//
// Conditions are expressions in CEL over the values of Values; the rules that are built in are
// those of deploy/prometheus/alerts.yml. What fires is grouped for each receiver, and what is of a
// low severity waits for the end of quiet hours.
//
// It promises that whatever fires for longer than the time of grouping, outside of quiet hours, is
// told to each receiver that wants it at least once, over kills, power cuts and outages of the
// receiver: a message that was not taken is tried again for as long as it says something, with what
// holds then. It does not promise once: a kill between a message and the note of it tells twice.
// One receiver never waits for another, nobody waits for the disk, and neither accepting nor
// delivering waits for any of it. State is one file; where it is damaged, that is said, and all
// begins anew.
//
// Times are those of Options.Now. While a clock is set, a rule may fire as much too early or too
// late.
package alert
