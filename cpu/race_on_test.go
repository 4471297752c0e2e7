//go:build race

package cpu

// RaceDetector is on: its bookkeeping allocates.
const RaceDetector = true
