package data

import (
	"crypto/sha256"
	"encoding/binary"
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

// The cache holds one file for each decoded set: its pixels, which of the pictures are bad and have none, their number, and the
// sha256 of all that. Its name is a hash of what this depends on, so a cache is never stale: changed images have another name.
const (
	cacheVersion = "gcnn images 2" // raise it when decoding, resizing or the format changes
	cacheSuffix  = ".pixels"
	maxCache     = 8 << 30 // bytes of the folder, but for a larger set; the sets unused for longest go first
	cacheTail    = 8 + sha256.Size
	cachePiece   = 64 << 20 // about what is decoded at a time where a set is not held in memory
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
func (f Folder) fromCache(root *os.Root, s *Set, files []imageFile) (found bool, err error) {
	if f.Cache == "" {
		return false, nil
	}
	if entries, _ := os.ReadDir(f.Cache); len(entries) == 0 && !f.large(s, files) { // without the folder there are none
		return false, nil // nothing to find, so nothing to hash
	}
	failed := make([]bool, len(files))
	forEach(files, func(i int, file *imageFile) {
		content, err := f.read(root, file.name)
		failed[i], file.sum = err != nil, sha256.Sum256(content)
	})
	if slices.Contains(failed, true) {
		return false, nil
	}
	pixels, bad, err := f.readCache(cacheKey(s, files), len(files), s.ImageSize())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.warn(fmt.Errorf("decoding the images again: %w", err))
		}
		return false, nil
	}
	scratch := make([]uint8, s.ImageSize())
	for _, i := range bad { // they are as bad as they were: say so again
		files[i].err = f.decode(root, &files[i], scratch)
		if err := f.judge(&files[i]); err != nil {
			return false, err
		}
	}
	s.Pixels, s.Labels = pixels, labelsOf(files)
	return true, nil
}

// readCache is the pixels of a set of n pictures, and which of them are bad.
func (f Folder) readCache(key string, n, size int) (pixels []uint8, bad []uint32, err error) {
	name := filepath.Join(f.Cache, key+cacheSuffix)
	content, err := contentOf(name, inMemory(f.InMemory))
	if err != nil {
		return nil, nil, err
	}
	left, count := 0, -1
	err = readingFile(name, func() {
		if left = len(content) - cacheTail; left < 0 {
			return
		}
		if b := binary.LittleEndian.Uint64(content[left:]); b <= uint64(n) && (n-int(b))*size+4*int(b) == left {
			count = int(b)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if count < 0 {
		return nil, nil, fmt.Errorf("%s: %w: %d bytes, expected %d", name, ErrFormat, len(content), n*size+cacheTail)
	}
	var sum [sha256.Size]byte
	if err := readingFile(name, func() { sum = sha256.Sum256(content[:left+8]) }); err != nil {
		return nil, nil, err
	}
	if sum != [sha256.Size]byte(content[left+8:]) {
		return nil, nil, fmt.Errorf("%s: %w", name, ErrHash)
	}
	pixels = content[: (n-count)*size : (n-count)*size]
	for at := len(pixels); at < left; at += 4 {
		i := binary.LittleEndian.Uint32(content[at:])
		if int(i) >= n {
			return nil, nil, fmt.Errorf("%s: %w: picture %d of %d is bad", name, ErrFormat, i, n)
		}
		bad = append(bad, i)
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // marks it as used; a read-only cache works too
	return pixels, bad, nil
}

// writeCache writes a set of at most so many bytes, whose pixels come piece by piece, and tells at the end which are bad.
func writeCache(dir, key string, most int64, pixels func(write func([]uint8) error) (bad []uint32, err error)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := trimCache(dir, max(0, maxCache-most)); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, key+cacheSuffix), 0o644, func(w io.Writer) error {
		h := sha256.New()
		both := io.MultiWriter(w, h)
		bad, err := pixels(func(p []uint8) error {
			_, err := both.Write(p)
			return err
		})
		if err != nil {
			return err
		}
		if err := binary.Write(both, binary.LittleEndian, bad); err != nil {
			return err
		}
		if err := binary.Write(both, binary.LittleEndian, uint64(len(bad))); err != nil {
			return err
		}
		_, err = w.Write(h.Sum(nil))
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
