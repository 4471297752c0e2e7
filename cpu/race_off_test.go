//go:build !race

package cpu

// RaceDetector is on with -race, whose bookkeeping allocates.
const RaceDetector = false
