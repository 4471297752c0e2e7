// Command pictures writes a folder of synthetic pictures in ten classes, six of shapes and four of textures, for trying gcnn on
// class folders where there are no photographs:
//
//	go run ./bench/pictures /tmp/pictures
//	go run ./bench/pictures -size 64 -train 200 -validation 50 /tmp/small
//
// Place, size, direction, light and noise are drawn for each picture; colours of neighbouring classes overlap, so that colour alone
// does not tell them apart. The same flags give the same pictures, and a picture does not depend on how many there are.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
)

// Limits of the flags.
const (
	minSize, maxSize = 16, 4096
	maxImages        = 100_000 // of a class
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "pictures:", err)
		}
		os.Exit(1)
	}
}

// run is main without the process.
func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pictures", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: pictures [OPTIONS] DIR")
		flags.PrintDefaults()
	}
	size := flags.Int("size", 227, "width and height in pixels")
	train := flags.Int("train", 64, "training pictures of each class")
	validation := flags.Int("validation", 16, "validation pictures of each class")
	seed := flags.Uint64("seed", 1, "of all that is random")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() != 1:
		return fmt.Errorf("it takes one DIR, got %q", flags.Args())
	case *size < minSize || *size > maxSize:
		return fmt.Errorf("-size is from %d to %d, got %d", minSize, maxSize, *size)
	case *train < 1 || *train > maxImages || *validation < 0 || *validation > maxImages:
		return fmt.Errorf("-train is from 1 and -validation from 0 to %d, got %d and %d", maxImages, *train, *validation)
	}
	dir := flags.Arg(0)
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	for split, part := range []struct {
		name  string
		count int
	}{{"train", *train}, {"validation", *validation}} {
		for c, k := range classes {
			folder := filepath.Join(dir, part.name, k.name)
			if part.count == 0 {
				continue
			}
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
			for i := range part.count {
				if err := write(filepath.Join(folder, fmt.Sprintf("%05d.jpg", i)), *size, *seed, split, c, i); err != nil {
					return err
				}
			}
		}
	}
	_, err := fmt.Fprintf(stdout, "%s: %d training and %d validation pictures of %d×%d in %d classes\n",
		dir, *train*len(classes), *validation*len(classes), *size, *size, len(classes))
	return err
}

// write draws a picture into a JPEG file.
func write(path string, size int, seed uint64, split, class, index int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	if err := jpeg.Encode(w, picture(size, seed, split, class, index), &jpeg.Options{Quality: 90}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return w.Flush()
}
