//go:build cuda

package cuda

import "gcnn/device"

// augments reports whether the plan changes images.
func (c *compiler) augments() bool {
	return c.purpose.mode == training && c.spec.Training.Augment != (device.Augment{})
}

// moves reports whether images are only moved and cut, whole pixels at a time, which the gathering kernels do.
func moves(a device.Augment) bool { return a.Rotate == 0 && a.Brightness == 0 && a.Contrast == 0 }
