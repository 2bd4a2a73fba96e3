package config

import _ "embed"

//go:embed example.yaml
var example string

// Example returns a commented file that lists every key with its default.
func Example() string { return example }
