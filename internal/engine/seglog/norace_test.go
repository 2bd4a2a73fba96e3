//go:build !race

package seglog_test

// callStep is which of the calls are made to fail: every one.
const callStep = 1
