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
// every class in its share. The order depends on nothing but the classes and the names in them. Hidden files and other kinds of files are passed over.
type Folder struct {
	Dir                     string
	Height, Width, Channels int         // of the set's images; Channels are 1 (grey) or 3 (RGB). See [ReadImage]
	SkipBad                 bool        // leave out files that cannot be read as images, instead of failing
	Cache                   string      // a folder for decoded images, "" for none. See [DefaultCache]
	Warn                    func(error) // told of each file left out, and of a cache that fails; may be nil
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
		return nil, fmt.Errorf("%s: %w: %d images of %d×%d×%d, at most %d GiB are held in memory",
			f.at(folder), ErrTooLarge, len(files), f.Height, f.Width, f.Channels, maxSetBytes>>30)
	}
	if cached := f.fromCache(root, s, files); cached {
		return s, nil
	}
	s.Pixels = make([]uint8, len(files)*s.ImageSize())
	s.Labels = make([]uint16, len(files))
	size := s.ImageSize()
	forEach(files, func(i int, file *imageFile) {
		s.Labels[i] = file.label
		file.err = f.decode(root, file, s.Pixels[i*size:(i+1)*size])
	})
	bad, err := f.dropBad(s, files)
	if err != nil {
		return nil, err
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("%s: %w: no image can be read", f.at(folder), ErrFormat)
	}
	if f.Cache != "" && bad == 0 {
		if err := writeCache(f.Cache, cacheKey(s, files), s.Pixels); err != nil {
			f.warn(fmt.Errorf("the images are not cached: %w", err))
		}
	}
	return s, nil
}

// maxSetBytes bounds a folder's images in memory.
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

// dropBad takes bad files out of a set in place and returns their number, or the first one's error where they are not
// to be skipped.
func (f Folder) dropBad(s *Set, files []imageFile) (bad int, err error) {
	size, kept := s.ImageSize(), 0
	for i, file := range files {
		if file.err != nil {
			if !f.SkipBad || !errors.Is(file.err, ErrFormat) {
				return 0, file.err
			}
			f.warn(fmt.Errorf("left out: %w", file.err))
			bad++
			continue
		}
		if kept < i {
			copy(s.Pixels[kept*size:(kept+1)*size], s.Pixels[i*size:(i+1)*size])
			s.Labels[kept] = s.Labels[i]
		}
		kept++
	}
	s.Pixels, s.Labels = s.Pixels[:kept*size], s.Labels[:kept]
	return bad, nil
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
