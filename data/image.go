package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"math"
	"os"
	"sync"

	"golang.org/x/image/draw"
)

const (
	// MaxImagePixels is the largest area of an image file that is decoded, 50 megapixels. Larger ones are refused
	// from their header.
	MaxImagePixels = 50_000_000
	// maxImageFile is the largest image file in bytes that is read.
	maxImageFile = 256 << 20
	// Images above this area are decoded one at a time, so that many workers do not hold many large images.
	largeImagePixels = 4_000_000
)

var largeImages sync.Mutex

// ReadImage reads a PNG, JPEG or GIF file (its first frame) as [height][width][channels] bytes.
//
// The largest centred part of the wanted proportions is cut out and resized to height×width, bilinearly and with
// antialiasing; an image of that size is kept exactly. Channels are 1 (grey: 0.299 R + 0.587 G + 0.114 B) or 3 (RGB);
// what is transparent shows white. Errors name the file and wrap [ErrFormat] or [ErrTooLarge].
func ReadImage(file string, height, width, channels int) ([]uint8, error) {
	if err := checkImageShape(height, width, channels); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := readImageFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	pixels := make([]uint8, height*width*channels)
	if err := decodeImage(content, height, width, channels, pixels); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return pixels, nil
}

type statReader interface {
	io.Reader
	Stat() (os.FileInfo, error)
}

func readImageFile(f statReader) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	if info.Size() > maxImageFile {
		return nil, fmt.Errorf("%w: %w: a file of %d bytes, at most %d are read", ErrFormat, ErrTooLarge, info.Size(), maxImageFile)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, err
	}
	return content, nil
}

func checkImageShape(height, width, channels int) error {
	if height < 1 || width < 1 || height > MaxImagePixels/width || channels != 1 && channels != 3 {
		return fmt.Errorf("images of %d×%d×%d are asked for, expected 1×1 to %d megapixels and 1 or 3 channels",
			height, width, channels, MaxImagePixels/1_000_000)
	}
	return nil
}

// decodeImage decodes a file's content into pixels, [height][width][channels].
func decodeImage(content []byte, height, width, channels int, pixels []uint8) error {
	if len(content) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	config, kind, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return imageError(err)
	}
	if config.Width < 1 || config.Height < 1 {
		return fmt.Errorf("%w: a %s image of %d×%d pixels", ErrFormat, kind, config.Width, config.Height)
	}
	area := int64(config.Width) * int64(config.Height)
	if config.Width > MaxImagePixels || config.Height > MaxImagePixels || area > MaxImagePixels {
		return fmt.Errorf("%w: %w: a %s image of %d×%d pixels, at most %d megapixels are decoded",
			ErrFormat, ErrTooLarge, kind, config.Width, config.Height, MaxImagePixels/1_000_000)
	}
	// A PNG's pixels are at least a bit each, deflated. What cannot be in the file needs no memory.
	if kind == "png" && area/8 > int64(len(content))*maxDeflateRatio {
		return fmt.Errorf("%w: truncated: a png image of %d×%d pixels in %d bytes", ErrFormat, config.Width, config.Height, len(content))
	}
	if area > largeImagePixels {
		largeImages.Lock()
		defer largeImages.Unlock()
	}
	img, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return imageError(err)
	}
	if img.Bounds().Empty() {
		return fmt.Errorf("%w: the %s image's first frame is empty", ErrFormat, kind)
	}
	resize(img, height, width, channels, pixels)
	return nil
}

func imageError(err error) error {
	switch {
	case errors.Is(err, image.ErrFormat):
		return fmt.Errorf("%w: neither PNG, JPEG nor GIF", ErrFormat)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: truncated", ErrFormat)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

func resize(img image.Image, height, width, channels int, pixels []uint8) {
	src := coverCrop(img.Bounds(), height, width)
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	if o, ok := img.(interface{ Opaque() bool }); !ok || !o.Opaque() {
		draw.Draw(out, out.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	}
	if src.Dx() == width && src.Dy() == height {
		draw.Draw(out, out.Bounds(), img, src.Min, draw.Over)
	} else {
		draw.BiLinear.Scale(out, out.Bounds(), img, src, draw.Over, nil)
	}
	for i := range height * width {
		r, g, b := out.Pix[4*i], out.Pix[4*i+1], out.Pix[4*i+2]
		if channels == 3 {
			pixels[3*i], pixels[3*i+1], pixels[3*i+2] = r, g, b
			continue
		}
		// In 16-bit fixed point, rounded; the weights add up to 1, so that greys stay what they are.
		pixels[i] = uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
	}
}

// coverCrop returns the largest centred part of b with the proportions of width×height, as Keras' smart_resize does.
func coverCrop(b image.Rectangle, height, width int) image.Rectangle {
	w, h := b.Dx(), b.Dy()
	if w*height > h*width {
		w = max(1, int(math.Round(float64(h)*float64(width)/float64(height))))
	} else {
		h = max(1, int(math.Round(float64(w)*float64(height)/float64(width))))
	}
	corner := b.Min.Add(image.Pt((b.Dx()-w)/2, (b.Dy()-h)/2))
	return image.Rectangle{corner, corner.Add(image.Pt(w, h))}
}
