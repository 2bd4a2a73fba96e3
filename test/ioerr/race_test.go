//go:build race

package ioerr_test

// callStep is which of the calls are made to fail: every seventh, because the race detector makes
// the test ten times slower.
const callStep = 7
