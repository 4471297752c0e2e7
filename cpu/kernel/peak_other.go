//go:build !amd64

package kernel

import "time"

// Peak measures the floating-point operations a second of one core, in 10⁹; 0 where there is no assembly that could reach it.
func (k *Kernels) Peak(time.Duration) float64 { return 0 }
