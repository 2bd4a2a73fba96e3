// Package stack deploys pillarbox on AWS and takes it away again: it builds the functions, runs
// Terraform or OpenTofu on the module in deploy/terraform, and remembers what came out.
//
// It promises that functions built twice from the same source with the same Go are the same byte
// for byte, so that nothing is deployed anew that has not changed; that every command it runs is
// shown before it runs; and that it asks nobody and decides nothing: the caller does. It makes no
// call to AWS itself and knows nothing of events.
package stack
