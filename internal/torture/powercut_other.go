//go:build !linux

package torture

import (
	"context"
	"errors"
)

// PowerCutPossible says why there can be no power cut here.
func PowerCutPossible() error {
	return errors.New(
		"cutting the power of a file system needs Linux")
}

// PowerCut is possible on Linux only.
func PowerCut(_ context.Context, options PowerCutOptions) (*Report, error) {
	return &Report{Run: "power-cut " + options.FS, Seed: options.Seed}, PowerCutPossible()
}
