//go:build !race

package ioerr_test

// callStep is which of the calls are made to fail: every one.
const callStep = 1
