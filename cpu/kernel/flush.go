package kernel

// Flush is the floating-point state of a thread before FlushSubnormals.
type Flush struct{ state uint64 }

// FlushSubnormals makes this thread take subnormal operands and results as zero, and returns what was before. The caller has locked its
// goroutine to the thread and calls Restore before it unlocks. On processors other than amd64 and arm64 it does nothing.
func FlushSubnormals() Flush { return Flush{flushOn()} }

// Restore ends what FlushSubnormals began.
func (f Flush) Restore() { flushRestore(f.state) }
