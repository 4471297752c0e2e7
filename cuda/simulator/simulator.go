// Package simulator reads the counters of the simulated GPU that stands in for the CUDA libraries in tests (see README.md). It
// is made for tests and nothing else, and needs no cgo.
package simulator

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// StatsVariable names the environment variable that holds the folder of the counters; run.sh sets it.
const StatsVariable = "GCNN_SIM_STATS"

// Active tells whether this process runs over the simulator, under run.sh.
func Active() bool { return os.Getenv(StatsVariable) != "" }

// Names of counters that tests ask for. Besides, "call.NAME" counts the calls of each function, "live.KIND" the objects that
// exist and "leaked.KIND" those that were left when their context ended.
const (
	Calls                = "calls"                  // calls of any library
	Launches             = "launches"               // cuLaunchKernel outside a capture
	CapturedLaunches     = "captured launches"      // cuLaunchKernel within one
	LibraryCalls         = "library calls"          // cuDNN's and cuBLAS' computations outside a capture
	CapturedLibraryCalls = "captured library calls" // and within one
	GraphLaunches        = "graph launches"
	KernelsRun           = "kernels run" // of either kind, however launched
)

// Counters are this process' counters, by name. The simulator must have been called before.
func Counters() (map[string]uint64, error) {
	if !Active() {
		return nil, fmt.Errorf("simulator: %s is not set: run the test under cuda/simulator/run.sh", StatsVariable)
	}
	const record, name = 64, 56
	data, err := os.ReadFile(filepath.Join(os.Getenv(StatsVariable), fmt.Sprintf("%d.stats", os.Getpid())))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("simulator: not called yet in this process: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	counters := map[string]uint64{}
	for ; len(data) >= record && data[0] != 0; data = data[record:] {
		text, _, _ := bytes.Cut(data[:name], []byte{0})
		counters[string(text)] = binary.LittleEndian.Uint64(data[name:])
	}
	return counters, nil
}
