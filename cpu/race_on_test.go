//go:build race

package cpu_test

// raceDetector is on: its bookkeeping allocates.
const raceDetector = true
