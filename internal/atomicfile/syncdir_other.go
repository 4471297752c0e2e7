//go:build !unix

package atomicfile

// syncDir does nothing: Windows has no way to flush a folder, and its file systems journal renames themselves.
func syncDir(string) error { return nil }
