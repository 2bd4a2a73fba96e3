package config

import (
	_ "embed"
	"fmt"
)

//go:embed example.yaml
var example string

//go:embed example-aws.yaml
var exampleAWS string

// Example returns a commented file that lists every key with its default.
func Example() string { return example }

// ExampleAWS returns a commented file for a stack on AWS, to fill in.
func ExampleAWS() string { return exampleAWS }

// ForStack returns a file for a stack, from what Terraform puts out of it.
func ForStack(name, output string) string {
	return fmt.Sprintf("# The stack %s on AWS. Credentials come from the environment.\n%s", name,
		output)
}
