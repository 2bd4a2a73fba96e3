//go:build race

package seglog_test

// lives is how many lives the crash test goes through. Every state is checked in one goroutine at a time, so
// that the race detector, which makes it ten times slower, finds what it can find in one of them.
const lives = 1
