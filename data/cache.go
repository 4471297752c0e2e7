package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gcnn/internal/atomicfile"
)

// The cache holds one file for each decoded set: its pixels and their sha256. Its name is a hash of what the pixels
// depend on, so a cache is never stale: changed images have another name.
const (
	cacheVersion = "gcnn images 1" // raise it when decoding or resizing changes
	cacheSuffix  = ".pixels"
	maxCache     = 8 << 30 // bytes of the folder; the sets unused for longest go first
)

// DefaultCache returns the folder for decoded images in the user's cache folder. It need not exist.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "gcnn", "images"), nil
}

// cacheKey hashes the shape and the content of every file in order. Names and labels are not part of the pixels.
func cacheKey(s *Set, files []imageFile) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d×%d×%d\n", cacheVersion, s.Height, s.Width, s.Channels)
	for _, file := range files {
		h.Write(file.sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fromCache fills a set where all its files have been decoded before. Files that cannot be read are left to the
// decoder, which says why.
func (f Folder) fromCache(root *os.Root, s *Set, files []imageFile) bool {
	if f.Cache == "" {
		return false
	}
	if entries, err := os.ReadDir(f.Cache); err != nil || len(entries) == 0 {
		return false // nothing to find, so nothing to hash
	}
	failed := make([]bool, len(files))
	forEach(files, func(i int, file *imageFile) {
		content, err := f.read(root, file.name)
		failed[i], file.sum = err != nil, sha256.Sum256(content)
	})
	if slices.Contains(failed, true) {
		return false
	}
	pixels, err := readCache(f.Cache, cacheKey(s, files), len(files)*s.ImageSize())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.warn(fmt.Errorf("decoding the images again: %w", err))
		}
		return false
	}
	s.Pixels, s.Labels = pixels, make([]uint16, len(files))
	for i, file := range files {
		s.Labels[i] = file.label
	}
	return true
}

func readCache(dir, key string, size int) ([]uint8, error) {
	name := filepath.Join(dir, key+cacheSuffix)
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if want := int64(size) + sha256.Size; info.Size() != want {
		return nil, fmt.Errorf("%s: %w: %d bytes, expected %d", name, ErrFormat, info.Size(), want)
	}
	pixels, sum := make([]uint8, size), [sha256.Size]byte{}
	for _, part := range [][]byte{sum[:], pixels} {
		if _, err := io.ReadFull(f, part); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if sum != sha256.Sum256(pixels) {
		return nil, fmt.Errorf("%s: %w", name, ErrHash)
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // marks it as used; a read-only cache works too
	return pixels, nil
}

func writeCache(dir, key string, pixels []uint8) error {
	if len(pixels) > maxCache {
		return fmt.Errorf("%w: %d bytes, at most %d are cached", ErrTooLarge, len(pixels), maxCache)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := trimCache(dir, maxCache-int64(len(pixels))); err != nil {
		return err
	}
	sum := sha256.Sum256(pixels)
	return atomicfile.Write(filepath.Join(dir, key+cacheSuffix), 0o644, func(w io.Writer) error {
		if _, err := w.Write(sum[:]); err != nil {
			return err
		}
		_, err := w.Write(pixels)
		return err
	})
}

// trimCache removes the sets unused for longest until at most limit bytes are left.
func trimCache(dir string, limit int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var cached []fs.FileInfo
	total := int64(0)
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != cacheSuffix {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process trimmed it
		}
		if err != nil {
			return err
		}
		cached = append(cached, info)
		total += info.Size()
	}
	slices.SortFunc(cached, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range cached {
		if total <= limit {
			return nil
		}
		if err := os.Remove(filepath.Join(dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= info.Size()
	}
	return nil
}
