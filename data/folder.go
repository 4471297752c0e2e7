package data

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Folder is a set of PNG, JPEG and GIF files in class folders:
//
//	DIR/train/CLASS/*.png        and, where there is one,
//	DIR/validation/CLASS/*.png   or DIR/test/CLASS/*.png
//
// or, without a validation set, DIR/CLASS/*.png. Classes are the folders of the training set in the order of their
// names. The images of each class are spread evenly over the set, so that what [Set.Limit] and [Set.Split] take holds
// every class in its share. The order depends on nothing but the classes and the names in them. Hidden files and other
// kinds of files are passed over.
type Folder struct {
	Dir                     string
	Height, Width, Channels int    // of the set's images; Channels are 1 (grey) or 3 (RGB). See [ReadImage]
	SkipBad                 bool   // leave out files that cannot be read as images, instead of failing
	Cache                   string // a folder for decoded images, "" for none. See [DefaultCache]
	// InMemory is the most bytes of decoded images of a set that are held in memory; a larger set is decoded into the cache and
	// used where it lies there, through the operating system's page cache. 0 is DefaultInMemory.
	InMemory int64
	Warn     func(error) // told of each file left out, and of a cache that fails; may be nil
}

// The names that the two parts of a folder may have, the first one found counts.
var (
	trainFolders      = []string{"train"}
	validationFolders = []string{"validation", "val", "valid", "test"}
	imageSuffixes     = []string{".png", ".jpg", ".jpeg", ".gif"}
)

// Load reads the training and the validation set, on all cores. validation is nil where there is no folder for it.
//
// A file is opened only inside Dir: a link that leads out of it is an error, also with SkipBad. Errors name the file.
func (f Folder) Load() (train, validation *Set, err error) {
	if err := checkImageShape(f.Height, f.Width, f.Channels); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	trainFolder, hasTrain := findFolder(root, trainFolders)
	validationFolder, hasValidation := findFolder(root, validationFolders)
	if !hasTrain {
		if hasValidation {
			return nil, nil, fmt.Errorf("%s: a folder %s but none named train: %w", f.Dir, validationFolder, fs.ErrNotExist)
		}
		trainFolder = "."
	}
	classes, err := f.classes(root, trainFolder)
	if err != nil {
		return nil, nil, err
	}
	if train, err = f.part(root, trainFolder, "train", classes); err != nil {
		return nil, nil, err
	}
	if !hasValidation {
		return train, nil, nil
	}
	found, err := f.classes(root, validationFolder)
	if err != nil {
		return nil, nil, err
	}
	for _, class := range found {
		if !slices.Contains(classes, class) {
			return nil, nil, fmt.Errorf("%s: %w: class %q is not one of the training set's: %s",
				filepath.Join(f.Dir, validationFolder), ErrFormat, class, list(classes))
		}
	}
	if validation, err = f.part(root, validationFolder, validationFolder, classes); err != nil {
		return nil, nil, err
	}
	return train, validation, nil
}

func findFolder(root *os.Root, names []string) (string, bool) {
	for _, name := range names {
		if info, err := root.Stat(name); err == nil && info.IsDir() {
			return name, true
		}
	}
	return "", false
}

// list writes at most ten names.
func list(names []string) string {
	if len(names) > 10 {
		return fmt.Sprintf("%s, … (%d in all)", strings.Join(names[:10], ", "), len(names))
	}
	return strings.Join(names, ", ")
}

// at names a file of the tree in messages.
func (f Folder) at(name string) string { return filepath.Join(f.Dir, filepath.FromSlash(name)) }

// fail adds a file's name to an error, unless the operating system has said it already.
func (f Folder) fail(name string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("%s: %w", f.at(name), err)
}

func (f Folder) classes(root *os.Root, folder string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), folder)
	if err != nil {
		return nil, f.fail(folder, err)
	}
	var classes []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		name := path.Join(folder, entry.Name())
		info, err := root.Stat(name) // follows links, inside the tree only
		if err != nil {
			return nil, f.fail(name, err)
		}
		if info.IsDir() {
			classes = append(classes, entry.Name())
		}
	}
	if len(classes) == 0 {
		return nil, fmt.Errorf("%s: %w: no class folders in it", f.at(folder), ErrFormat)
	}
	if len(classes) > MaxClasses {
		return nil, fmt.Errorf("%s: %w: %d class folders, at most %d are possible", f.at(folder), ErrFormat, len(classes), MaxClasses)
	}
	return classes, nil
}

// An imageFile is one picture of a folder.
type imageFile struct {
	name  string // inside the tree, with slashes
	label uint16
	sum   [sha256.Size]byte // of its content
	err   error             // why it is no image
}

// part reads one of the two sets.
func (f Folder) part(root *os.Root, folder, part string, classes []string) (*Set, error) {
	files, err := f.files(root, folder, classes)
	if err != nil {
		return nil, err
	}
	s := &Set{
		Name: filepath.Base(f.Dir) + " " + part, Height: f.Height, Width: f.Width, Channels: f.Channels, Classes: classes,
	}
	if len(files) > math.MaxInt/s.ImageSize() || int64(len(files))*int64(s.ImageSize()) > maxSetBytes {
		return nil, fmt.Errorf("%s: %w: %d images of %d×%d×%d, at most %d GiB are read",
			f.at(folder), ErrTooLarge, len(files), f.Height, f.Width, f.Channels, maxSetBytes>>30)
	}
	if found, err := f.fromCache(root, s, files); err != nil || found {
		return s, err
	}
	if f.Cache != "" && f.large(s, files) {
		decodeErr, err := f.decodeIntoCache(root, s, files)
		switch {
		case decodeErr != nil:
			return nil, decodeErr
		case err == nil:
			return s, nil
		}
		f.warn(fmt.Errorf("the images are held in memory: %w", err))
	}
	if s.Pixels, err = f.decodeFiles(root, files, make([]uint8, len(files)*s.ImageSize())); err != nil {
		return nil, err
	}
	if len(s.Pixels) == 0 {
		return nil, f.noImage(folder)
	}
	s.Labels = labelsOf(files)
	if f.Cache != "" {
		err := writeCache(f.Cache, cacheKey(s, files), int64(len(s.Pixels)), func(write func([]uint8) error) ([]uint32, error) {
			return badOf(files), write(s.Pixels)
		})
		if err != nil {
			f.warn(fmt.Errorf("the images are not cached: %w", err))
		}
	}
	return s, nil
}

func (f Folder) noImage(folder string) error {
	return fmt.Errorf("%s: %w: no image can be read", f.at(folder), ErrFormat)
}

// large reports whether a set is too large to be held in memory.
func (f Folder) large(s *Set, files []imageFile) bool {
	return int64(len(files))*int64(s.ImageSize()) > inMemory(f.InMemory)
}

// decodeIntoCache decodes files whose content has been hashed into a file of the cache, some at a time, and makes that the set's
// pixels. It tells errors of the pictures from those of the cache.
func (f Folder) decodeIntoCache(root *os.Root, s *Set, files []imageFile) (decodeErr, err error) {
	size, key := s.ImageSize(), cacheKey(s, files)
	each := max(1, cachePiece/size)
	buffer := make([]uint8, min(each, len(files))*size)
	err = writeCache(f.Cache, key, int64(len(files))*int64(size), func(write func([]uint8) error) ([]uint32, error) {
		for lo := 0; lo < len(files); lo += each {
			var pixels []uint8
			if pixels, decodeErr = f.decodeFiles(root, files[lo:min(lo+each, len(files))], buffer); decodeErr != nil {
				return nil, decodeErr
			}
			if err := write(pixels); err != nil {
				return nil, err
			}
		}
		bad := badOf(files)
		if len(bad) == len(files) {
			decodeErr = f.noImage(path.Dir(path.Dir(files[0].name)))
		}
		return bad, decodeErr
	})
	if err != nil {
		return decodeErr, err
	}
	s.Labels = labelsOf(files)
	s.Pixels, _, err = f.readCache(key, len(files), size)
	return nil, err
}

// maxSetBytes bounds a folder's decoded images.
const maxSetBytes = 1 << 40

func (f Folder) files(root *os.Root, folder string, classes []string) ([]imageFile, error) {
	var files []imageFile
	for label, class := range classes {
		dir := path.Join(folder, class)
		entries, err := fs.ReadDir(root.FS(), dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a class that the validation set does not have
		}
		if err != nil {
			return nil, f.fail(dir, err)
		}
		for _, entry := range entries {
			name := path.Join(dir, entry.Name())
			if strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			if entry.IsDir() {
				return nil, fmt.Errorf("%s: %w: a folder inside a class folder, expected images", f.at(name), ErrFormat)
			}
			if slices.Contains(imageSuffixes, strings.ToLower(path.Ext(name))) {
				files = append(files, imageFile{name: name, label: uint16(label)})
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w: no .png, .jpg, .jpeg or .gif files in its class folders (%s)", f.at(folder), ErrFormat, list(classes))
	}
	labels := make([]uint16, len(files))
	for i := range files {
		labels[i] = files[i].label
	}
	spreadOut := make([]imageFile, len(files))
	for i, from := range spread(labels) {
		spreadOut[i] = files[from]
	}
	return spreadOut, nil
}

// read returns the content of a file of the tree.
func (f Folder) read(root *os.Root, name string) ([]byte, error) {
	// A named pipe would block when opened, so its kind is looked at first.
	info, err := root.Stat(name)
	if err != nil {
		return nil, f.fail(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", f.at(name), ErrFormat)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, f.fail(name, err)
	}
	defer file.Close()
	content, err := readImageFile(file)
	if err != nil {
		return nil, f.fail(name, err)
	}
	return content, nil
}

func (f Folder) decode(root *os.Root, file *imageFile, pixels []uint8) error {
	content, err := f.read(root, file.name)
	if err != nil {
		return err
	}
	file.sum = sha256.Sum256(content)
	if err := decodeImage(content, f.Height, f.Width, f.Channels, pixels); err != nil {
		return fmt.Errorf("%s: %w", f.at(file.name), err)
	}
	return nil
}

// decodeFiles decodes files into memory for as many images, leaves out bad ones where that is asked for, and returns what is left.
func (f Folder) decodeFiles(root *os.Root, files []imageFile, pixels []uint8) ([]uint8, error) {
	size, kept := f.Height*f.Width*f.Channels, 0
	forEach(files, func(i int, file *imageFile) { file.err = f.decode(root, file, pixels[i*size:(i+1)*size]) })
	for i := range files {
		if err := f.judge(&files[i]); err != nil {
			return nil, err
		}
		if files[i].err != nil {
			continue
		}
		if kept < i {
			copy(pixels[kept*size:(kept+1)*size], pixels[i*size:(i+1)*size])
		}
		kept++
	}
	return pixels[:kept*size], nil
}

// judge warns of a bad file that is left out, and returns the error of one that is not to be.
func (f Folder) judge(file *imageFile) error {
	if file.err == nil {
		return nil
	}
	if !f.SkipBad || !errors.Is(file.err, ErrFormat) {
		return file.err
	}
	f.warn(fmt.Errorf("left out: %w", file.err))
	return nil
}

// badOf are the indices of bad files.
func badOf(files []imageFile) (bad []uint32) {
	for i, file := range files {
		if file.err != nil {
			bad = append(bad, uint32(i))
		}
	}
	return bad
}

// labelsOf are the labels of the files that are not bad.
func labelsOf(files []imageFile) []uint16 {
	labels := make([]uint16, 0, len(files))
	for _, file := range files {
		if file.err == nil {
			labels = append(labels, file.label)
		}
	}
	return labels
}

func (f Folder) warn(err error) {
	if f.Warn != nil {
		f.Warn(err)
	}
}

// forEach calls do for every element from as many goroutines as there are cores.
func forEach[T any](items []T, do func(i int, item *T)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(items), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				do(i, &items[i])
			}
		})
	}
	wg.Wait()
}
