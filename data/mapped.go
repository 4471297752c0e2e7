package data

import (
	"os"

	mmap "github.com/edsrzf/mmap-go"
)

// DefaultInMemory is the default of [Folder.InMemory] and [IDX.InMemory].
const DefaultInMemory = 1 << 30

// inMemory is a limit, or its default.
func inMemory(limit int64) int64 {
	if limit == 0 {
		return DefaultInMemory
	}
	return limit
}

// contentOf is what a file holds: a copy in memory, or, of a larger one, the file itself mapped read-only, so that its pages come
// and go as they are used. A mapping lasts as long as the process, since slices of it cannot be told from others; it takes
// addresses, not memory. Where a file cannot be mapped it is read.
func contentOf(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() <= limit {
		return os.ReadFile(name)
	}
	if m, err := mmap.Map(f, mmap.RDONLY, 0); err == nil {
		return m, nil
	}
	return os.ReadFile(name)
}
