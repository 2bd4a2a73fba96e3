//go:build race

package setting

const raced = true
