// Package config turns a file, the environment and flags into plain values.
//
// It is strict: unknown keys, duplicate keys, values that don't fit and combinations that can't
// work are errors that name the place and say what to write instead, all of them at once. No error
// and no output holds the value of a secret, or of anything that an ${ENV} reference in the file
// stood for. The package knows neither the engines behind the URLs nor what the values are used
// for.
package config
