// Package terraform holds the Terraform module to the binary: what both know must be the same in
// both.
package terraform
