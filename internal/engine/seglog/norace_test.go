//go:build !race

package seglog_test

// lives is how many lives the crash test goes through.
const lives = 3
