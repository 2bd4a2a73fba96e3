//go:build race

package seglog_test

// callStep is which of the calls are made to fail: every third, because the race detector makes the
// test ten times slower.
const callStep = 3
