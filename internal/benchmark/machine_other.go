//go:build !linux

package benchmark

// ask finds out nothing here.
func (*Machine) ask(string) {}
