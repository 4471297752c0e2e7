package train

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gcnn/internal/atomicfile"
)

// The files of a run's folder. Each is whole or absent at any moment.
const (
	ConfigFile      = "config.yaml"
	HistoryFile     = "history.csv"
	WeightsFile     = "weights.safetensors"    // to use: the last, or the best where EarlyStopping restores them
	BestFile        = "best.safetensors"       // of the best epoch so far
	CheckpointFile  = "checkpoint.safetensors" // to go on from
	AccuracyFile    = "accuracy.png"
	LossFile        = "loss.png"
	SamplesFile     = "samples.png"
	PredictionsFile = "predictions.png"

	lockFile = ".lock"
)

// files are those that a new run in an old folder replaces.
var files = []string{
	ConfigFile, HistoryFile, WeightsFile, BestFile, CheckpointFile, AccuracyFile, LossFile, SamplesFile, PredictionsFile,
}

// ErrFolderExists is wrapped where a folder holds a run already.
var ErrFolderExists = errors.New("it holds a run already")

// ErrLocked is wrapped where another process trains in a folder.
var ErrLocked = errors.New("another training is running in it")

// Folder is the folder of a run. It is locked against a second one until it is closed or the process ends.
type Folder struct {
	Path string
	lock *os.File
}

// CreateFolder makes a folder for a run. An empty path stands for runs/MODEL-TIME. A folder that holds a run already is
// ErrFolderExists, or emptied of that run's files with force.
func CreateFolder(path, model string, now time.Time, force bool) (*Folder, error) {
	if path == "" {
		var err error
		if path, err = nextFolder(filepath.Join("runs", model+"-"+now.Format("20060102-150405"))); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	f, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		old := filepath.Join(path, name)
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !force {
			return nil, errors.Join(fmt.Errorf("%s: %w (%s): --resume goes on with it, --force replaces it", path, ErrFolderExists, name), f.Close())
		}
		if err := os.Remove(old); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// nextFolder makes a folder that nobody else has.
func nextFolder(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		p := path
		if i > 1 {
			p = fmt.Sprintf("%s-%d", path, i)
		}
		if err := os.Mkdir(p, 0o777); !errors.Is(err, fs.ErrExist) {
			return p, err
		}
	}
}

// OpenFolder opens the folder of a run that is to go on.
func OpenFolder(path string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ConfigFile)); err != nil {
		if info, statErr := os.Stat(path); errors.Is(err, fs.ErrNotExist) || (statErr == nil && !info.IsDir()) {
			return nil, fmt.Errorf("%s: it holds no run (there is no %s)", path, ConfigFile)
		}
		return nil, err
	}
	return lockFolder(path)
}

func lockFolder(path string) (*Folder, error) {
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := tryLock(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), lock.Close())
	}
	f := &Folder{path, lock}
	if err := atomicfile.RemoveTemporary(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// File is the path of a file in the folder.
func (f *Folder) File(name string) string { return filepath.Join(f.Path, name) }

// Write writes a file.
func (f *Folder) Write(name string, fill func(io.Writer) error) error {
	return atomicfile.Write(f.File(name), 0o666, fill)
}

// Close lets go of the folder.
func (f *Folder) Close() error { return f.lock.Close() }
