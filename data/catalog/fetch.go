package catalog

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcnn/data"
	"gcnn/internal/atomicfile"
)

// partSuffix marks a file that is not whole yet.
const partSuffix = ".part"

var (
	// ErrStalled is wrapped when a server sends nothing for longer than [Fetcher].Stall.
	ErrStalled = errors.New("the server stopped sending")
	// errRefused are answers that asking again does not change.
	errRefused = errors.New("the server does not have the file")
)

// A Fetcher downloads sets. The zero value is ready for use.
type Fetcher struct {
	BaseURL  string                               // of the folder that holds the files, instead of the set's own
	Client   *http.Client                         // nil: http.DefaultClient
	Stall    time.Duration                        // give up a connection that is silent for so long; 0: 30 seconds
	Attempts int                                  // in a row that bring no new byte, before giving up; 0: 5
	Pause    time.Duration                        // before the second attempt, doubled before each further one; 0: 1 second
	Progress func(file string, done, total int64) // told of the bytes of a file as they arrive; may be nil
}

// Fetch downloads the set of a name into a folder, which is made if need be. What is there already and has the right
// sha256 is kept. A broken download goes on where it stopped, also in a later call. Each file gets its name only when
// it is whole, on the disk and verified.
//
// A server that keeps sending something else gives an error that wraps [data.ErrHash], one that stalls [ErrStalled].
func (f Fetcher) Fetch(ctx context.Context, name, dir string) error {
	e, err := find(name)
	if err != nil {
		return err
	}
	if f.BaseURL == "" {
		f.BaseURL = e.source.url
	}
	return f.fetch(ctx, e.source.files, dir)
}

func (f Fetcher) fetch(ctx context.Context, files []file, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		if len(file.unpack) == 0 {
			if err := f.file(ctx, file, dir); err != nil {
				return fmt.Errorf("fetch %s: %w", file.name, err)
			}
			continue
		}
		whole, err := allThere(file.unpack, dir)
		if err != nil {
			return err
		}
		if whole {
			continue
		}
		if err := f.file(ctx, file, dir); err != nil {
			return fmt.Errorf("fetch %s: %w", file.name, err)
		}
		archive := filepath.Join(dir, file.name)
		if err := unpack(archive, file.unpack, dir); err != nil {
			return fmt.Errorf("unpack %s: %w", archive, err)
		}
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	return nil
}

func allThere(files []file, dir string) (bool, error) {
	for _, file := range files {
		if there, err := verified(filepath.Join(dir, file.name), file); !there {
			return false, err
		}
	}
	return true, nil
}

// verified tells whether a file is there with the size and the sha256 that it should have.
func verified(name string, want file) (bool, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || info.Size() != want.size {
		return false, err
	}
	got, err := fileSum(name)
	return got == want.sha256, err
}

func fileSum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// file downloads one file, over as many attempts as bring new bytes.
func (f Fetcher) file(ctx context.Context, want file, dir string) error {
	name := filepath.Join(dir, want.name)
	if there, err := verified(name, want); there || err != nil {
		return err
	}
	part, err := os.OpenFile(name+partSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()

	attempts, pause := orDefault(f.Attempts, 5), orDefault(f.Pause, time.Second)
	for failed, wrong := 0, 0; ; {
		before, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		err = f.attempt(ctx, part, before, want)
		if err == nil {
			sum, err := fileSum(part.Name())
			if err != nil {
				return err
			}
			if sum == want.sha256 {
				return finish(part, name)
			}
			// What was there before may have been the bad part, so the whole file gets a second chance.
			if err := part.Truncate(0); err != nil {
				return err
			}
			if wrong++; wrong == 2 {
				return errors.Join(fmt.Errorf("%w: the server sends a file with %s, expected %s", data.ErrHash, sum, want.sha256), os.Remove(part.Name()))
			}
			continue
		}
		var local *fs.PathError
		if ctx.Err() != nil || errors.Is(err, errRefused) || errors.As(err, &local) {
			return err
		}
		after, seekErr := part.Seek(0, io.SeekEnd)
		if seekErr != nil {
			return seekErr
		}
		if failed++; after > before {
			failed = 0
		}
		if failed >= attempts {
			return fmt.Errorf("after %d attempts without a new byte: %w", failed, err)
		}
		select {
		case <-time.After(pause << max(0, failed-1)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// finish gives a whole file its name. It is flushed first, so that a name never stands for half a file.
func finish(part *os.File, name string) error {
	if err := part.Sync(); err != nil {
		return err
	}
	if err := part.Close(); err != nil {
		return err
	}
	return os.Rename(part.Name(), name)
}

// attempt asks for what is missing after the first have bytes of part and appends it. nil means that part has its size.
func (f Fetcher) attempt(ctx context.Context, part *os.File, have int64, want file) error {
	if have == want.size {
		return nil
	}
	if have > want.size {
		have = 0
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := orDefault(f.Stall, 30*time.Second)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%w for %v", ErrStalled, stall)) })
	defer watch.Stop()

	url := strings.TrimSuffix(f.BaseURL, "/") + "/" + want.name
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	request.Header.Set("Accept-Encoding", "identity") // the file as it is, not unzipped on the way
	request.Header.Set("User-Agent", "gcnn")
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	client := f.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return cause(ctx, err)
	}
	defer response.Body.Close()
	have, err = accept(response, url, have, want.size)
	if err != nil {
		if errors.Is(err, errRange) {
			return errors.Join(err, part.Truncate(0))
		}
		return err
	}
	if err := part.Truncate(have); err != nil {
		return err
	}
	if _, err := part.Seek(have, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := response.Body.Read(buf)
		watch.Reset(stall)
		if have+int64(n) > want.size {
			return fmt.Errorf("%s: %w: it sends more than the expected %d bytes", url, errRefused, want.size)
		}
		if _, err := part.Write(buf[:n]); err != nil {
			return err
		}
		have += int64(n)
		if n > 0 && f.Progress != nil {
			f.Progress(want.name, have, want.size)
		}
		if err == io.EOF && have == want.size {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: ended after %d of %d bytes", url, have, want.size)
		}
		if err != nil {
			return cause(ctx, err)
		}
	}
}

// errRange is an answer that a part on disk cannot be continued with.
var errRange = errors.New("the download cannot go on where it stopped")

// accept checks a response's headers and returns the offset of its first byte.
func accept(r *http.Response, url string, have, size int64) (int64, error) {
	switch {
	case r.StatusCode == http.StatusOK:
		have = 0 // the server does not resume
	case r.StatusCode == http.StatusPartialContent:
		first, total, err := contentRange(r.Header.Get("Content-Range"))
		if err != nil || first != have || total != size {
			return 0, fmt.Errorf("%s: %w: it answers with the range %q, expected to start at %d of %d", url, errRange, r.Header.Get("Content-Range"), have, size)
		}
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return 0, fmt.Errorf("%s: %w: %s", url, errRange, r.Status)
	case r.StatusCode == http.StatusRequestTimeout || r.StatusCode == http.StatusTooManyRequests || r.StatusCode >= 500:
		return 0, fmt.Errorf("%s: %s", url, r.Status)
	default:
		return 0, fmt.Errorf("%s: %w: %s", url, errRefused, r.Status)
	}
	if r.ContentLength >= 0 && r.ContentLength != size-have {
		return 0, fmt.Errorf("%s: %w: it offers %d bytes, expected %d", url, errRefused, r.ContentLength, size-have)
	}
	return have, nil
}

// contentRange parses "bytes 5-9/10" into 5 and 10.
func contentRange(header string) (first, total int64, err error) {
	bytes, ok := strings.CutPrefix(header, "bytes ")
	from, rest, ok2 := strings.Cut(bytes, "-")
	_, all, ok3 := strings.Cut(rest, "/")
	if !ok || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("the range %q", header)
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	total, err2 := strconv.ParseInt(all, 10, 64)
	return first, total, errors.Join(err1, err2)
}

// cause prefers why a request was cancelled to the fact that it was.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

// unpack writes the wanted members of a .tar.gz archive into a folder under their base names. Others, and whatever
// paths the archive has, are passed over.
func unpack(archive string, want []file, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", data.ErrFormat, err)
	}
	wanted := map[string]int64{}
	for _, file := range want {
		wanted[file.name] = file.size
	}
	for members := tar.NewReader(z); len(wanted) > 0; {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", data.ErrFormat, err)
		}
		base := path.Base(header.Name)
		size, ok := wanted[base]
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size != size {
			return fmt.Errorf("%w: %s has %d bytes, expected %d", data.ErrFormat, header.Name, header.Size, size)
		}
		err = atomicfile.Write(filepath.Join(dir, base), 0o644, func(w io.Writer) error {
			_, err := io.Copy(w, members)
			return err
		})
		if err != nil {
			return err
		}
		delete(wanted, base)
	}
	for _, file := range want {
		if _, missing := wanted[file.name]; missing {
			return fmt.Errorf("%w: the archive lacks %s", data.ErrFormat, file.name)
		}
	}
	return nil
}
