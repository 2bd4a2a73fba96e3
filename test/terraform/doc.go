// Package terraform holds the Terraform module to what it is meant to make.
//
// Some tests compare its text with the binary and the documents: what both know must be the same in
// both. The others apply it, once for each scenario, against a stand-in for the provider that keeps
// everything in the state, and look at the state: rules that hold for every choice (rules_test.go)
// and pictures of what is there (testdata, written anew with -update). They need Terraform and
// PILLARBOX_TEST_TERRAFORM_MIRROR, and are skipped without it; make terraform sets it. bugs_test.go has
// the bugs that are planted to see that they are noticed: make terraform-mutants plants all.
//
// Nothing here proves anything of AWS. deploy/terraform/README.md lists what only AWS shows.
package terraform
