package data

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"unsafe"

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
		mapped.Lock()
		defer mapped.Unlock()
		mapped.files = append(mapped.files, mappedFile{name, m})
		return m, nil
	}
	return os.ReadFile(name)
}

// mapped are the mappings of the process.
var mapped struct {
	sync.Mutex
	files []mappedFile
}

type mappedFile struct {
	name    string
	content []byte
}

// ErrUnreadable is wrapped by errors about images in a file that is used where it lies, and was cut off or lost meanwhile.
var ErrUnreadable = errors.New("the images cannot be read any more")

// Reading runs f, which reads the set's images. Pages of a mapped file that are gone would end the process; here they are an error
// that names the file, or the set where that is unknown, and wraps ErrUnreadable.
func (s *Set) Reading(f func()) error {
	return reading(func(at uintptr) string { return cmp.Or(fileAt(at), s.Name) }, f)
}

// Reading is [Set.Reading] for a function that reads any sets of this package. A fault outside of mapped files is a panic.
func Reading(f func()) error { return reading(fileAt, f) }

// reading runs f; name is what a fault's address belongs to, "" where that is unknown.
func reading(name func(at uintptr) string, f func()) (err error) {
	before := debug.SetPanicOnFault(true) // of this goroutine
	defer func() {
		debug.SetPanicOnFault(before)
		fault := recover()
		if fault == nil {
			return
		}
		at, ok := fault.(interface {
			error
			Addr() uintptr // a fault has an address; other errors of the runtime have none
		})
		if !ok {
			panic(fault)
		}
		what := name(at.Addr())
		if what == "" {
			panic(fault)
		}
		err = fmt.Errorf("%s: %w: it was cut off, or its disk fails (%w)", what, ErrUnreadable, at)
	}()
	f()
	return nil
}

// readingFile is reading of one file.
func readingFile(name string, f func()) error {
	return reading(func(uintptr) string { return name }, f)
}

// fileAt is the file that is mapped to an address, "" for none.
func fileAt(at uintptr) string {
	mapped.Lock()
	defer mapped.Unlock()
	for _, f := range mapped.files {
		if begin := uintptr(unsafe.Pointer(unsafe.SliceData(f.content))); at >= begin && at-begin < uintptr(len(f.content)) {
			return f.name
		}
	}
	return ""
}
