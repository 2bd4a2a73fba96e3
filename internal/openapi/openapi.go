// Package openapi holds the document that describes both listeners. Tests of their handlers hold it
// to their routes and answers.
package openapi

import _ "embed"

// Document is the text, in YAML.
//
//go:embed openapi.yaml
var Document []byte

// Where it is served, and as what.
const (
	Path = "/openapi.yaml"
	Type = "application/yaml"
)
