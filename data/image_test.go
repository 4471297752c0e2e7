package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func pngBytes(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// grey returns an image of one grey level.
func grey(width, height int, level uint8) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = level
	}
	return img
}

// claimPNG is a PNG of a few bytes whose header claims a size.
func claimPNG(t testing.TB, width, height uint32) []byte {
	b := pngBytes(t, grey(1, 1, 7))
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func TestDecodeImageExactly(t *testing.T) {
	t.Parallel()
	rgb := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i, c := range []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {1, 2, 3, 255}, {250, 251, 252, 255}, {255, 255, 255, 255}} {
		rgb.SetRGBA(i%3, i/3, c)
	}
	levels := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range levels.Pix {
		levels.Pix[i] = uint8(i)
	}
	glass := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	glass.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 0})
	glass.SetNRGBA(1, 0, color.NRGBA{0, 0, 0, 255})
	palette := image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.RGBA{10, 20, 30, 255}, color.RGBA{200, 100, 0, 255}})
	palette.Pix[1] = 1
	var gifBytes bytes.Buffer
	if err := gif.Encode(&gifBytes, palette, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                    string
		content                 []byte
		height, width, channels int
		want                    []uint8
	}{
		{"RGB", pngBytes(t, rgb), 2, 3, 3, []uint8{255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 250, 251, 252, 255, 255, 255}},
		{"RGB as grey", pngBytes(t, rgb), 2, 3, 1, []uint8{76, 150, 29, 2, 251, 255}}, // 0.299 R + 0.587 G + 0.114 B
		{"every grey level", pngBytes(t, levels), 16, 16, 1, levels.Pix},
		{"grey as RGB", pngBytes(t, grey(1, 1, 9)), 1, 1, 3, []uint8{9, 9, 9}},
		{"transparent", pngBytes(t, glass), 1, 2, 3, []uint8{255, 255, 255, 0, 0, 0}},
		{"GIF", gifBytes.Bytes(), 1, 2, 3, []uint8{10, 20, 30, 200, 100, 0}},
		{"enlarged", pngBytes(t, grey(2, 2, 77)), 5, 7, 1, slices.Repeat([]uint8{77}, 35)},
		{"reduced", pngBytes(t, grey(300, 200, 201)), 4, 4, 3, slices.Repeat([]uint8{201}, 48)},
	} {
		pixels := make([]uint8, c.height*c.width*c.channels)
		if err := decodeImage(c.content, c.height, c.width, c.channels, pixels); err != nil || !slices.Equal(pixels, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, pixels, err, c.want)
		}
	}
}

// A wide image with black sides and a white middle third: the crop keeps the middle alone.
func TestDecodeImageCropsTheCentre(t *testing.T) {
	t.Parallel()
	for _, portrait := range []bool{false, true} {
		img := grey(90, 30, 0)
		if portrait {
			img = grey(30, 90, 0)
		}
		for y := range 30 {
			for x := 30; x < 60; x++ {
				if portrait {
					img.SetGray(y, x, color.Gray{255})
				} else {
					img.SetGray(x, y, color.Gray{255})
				}
			}
		}
		pixels := make([]uint8, 100)
		if err := decodeImage(pngBytes(t, img), 10, 10, 1, pixels); err != nil || !slices.Equal(pixels, slices.Repeat([]uint8{255}, 100)) {
			t.Errorf("portrait %v: %v, %v", portrait, pixels, err)
		}
	}
	// Reducing averages: stripes of one pixel become their mean, not one of them.
	stripes := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range stripes.Pix {
		stripes.Pix[i] = uint8(i % 2 * 200)
	}
	pixels := make([]uint8, 16)
	if err := decodeImage(pngBytes(t, stripes), 4, 4, 1, pixels); err != nil {
		t.Fatal(err)
	}
	for i, v := range pixels {
		if v < 98 || v > 102 { // the mean is 100; the filter's edge weighs one stripe in 32 differently
			t.Errorf("pixel %d of the reduced stripes is %d, want 100 ± 2", i, v)
		}
	}
}

func TestCoverCrop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		w, h, height, width int
		want                image.Rectangle
	}{
		{90, 30, 10, 10, image.Rect(30, 0, 60, 30)}, {30, 90, 10, 10, image.Rect(0, 30, 30, 60)}, {7, 7, 28, 28, image.Rect(0, 0, 7, 7)},
		{100, 100, 10, 20, image.Rect(0, 25, 100, 75)}, {1, 50000, 227, 227, image.Rect(0, 24999, 1, 25000)}, {50000, 1, 227, 1, image.Rect(24999, 0, 25000, 1)},
	} {
		if got := coverCrop(image.Rect(0, 0, c.w, c.h), c.height, c.width); got != c.want {
			t.Errorf("%d×%d cut for %d×%d: %v, want %v", c.w, c.h, c.width, c.height, got, c.want)
		}
	}
}

func TestDecodeImageErrors(t *testing.T) {
	t.Parallel()
	whole := pngBytes(t, grey(50, 50, 3))
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, grey(64, 64, 3), nil); err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(whole)
	damaged[len(damaged)-20] ^= 0xff
	for _, c := range []struct {
		name    string
		content []byte
		want    string
		large   bool
	}{
		{"empty", nil, "invalid data: the file is empty", false},
		{"text", []byte("hello"), "invalid data: neither PNG, JPEG nor GIF", false},
		{"cut PNG", whole[:60], "invalid data: png: invalid format: not enough pixel data", false},
		{"cut header", whole[:20], "invalid data: truncated", false},
		{"cut JPEG", jpg.Bytes()[:jpg.Len()/2], "invalid data: ", false},
		{"damaged", damaged, "invalid data: png: invalid format: ", false},
		{"100,000 × 100,000", claimPNG(t, 100_000, 100_000), "invalid data: too large: a png image of 100000×100000 pixels, at most 50 megapixels are decoded", true},
		{"2³¹−1 wide", claimPNG(t, 1<<31-1, 1<<31-1), "invalid data: png: unsupported feature: dimension overflow", false},
		{"no pixels", claimPNG(t, 0, 5), "invalid data: ", false},
		{"claims what is not there", claimPNG(t, 7000, 7000), "invalid data: truncated: a png image of 7000×7000 pixels in ", false},
	} {
		err := decodeImage(c.content, 8, 8, 1, make([]uint8, 64))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, ErrFormat) || errors.Is(err, ErrTooLarge) != c.large {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestReadImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"a.png": pngBytes(t, grey(5, 5, 6)), "b.png": []byte("no")})
	if err := os.Truncate(filepath.Join(dir, "b.png"), maxImageFile+1); err != nil {
		t.Fatal(err)
	}
	pixels, err := ReadImage(filepath.Join(dir, "a.png"), 2, 2, 3)
	if err != nil || !slices.Equal(pixels, slices.Repeat([]uint8{6}, 12)) {
		t.Errorf("%v, %v", pixels, err)
	}
	for _, c := range []struct {
		file                    string
		height, width, channels int
		want                    string
	}{
		{"none.png", 2, 2, 1, "none.png: no such file or directory"},
		{"b.png", 2, 2, 1, "b.png: invalid data: too large: a file of 268435457 bytes, at most 268435456 are read"},
		{".", 2, 2, 1, ": invalid data: not a regular file"},
		{"a.png", 0, 2, 1, "images of 0×2×1 are asked for"}, {"a.png", 2, -2, 1, "images of 2×-2×1 are asked for"},
		{"a.png", 2, 2, 2, "images of 2×2×2 are asked for, expected 1×1 to 50 megapixels and 1 or 3 channels"},
		{"a.png", 1 << 40, 1 << 40, 1, "are asked for, expected 1×1 to 50 megapixels"},
	} {
		if _, err := ReadImage(filepath.Join(dir, c.file), c.height, c.width, c.channels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// FuzzDecodeImage: no file crashes the decoder; what is read fills the image.
func FuzzDecodeImage(f *testing.F) {
	f.Add(pngBytes(f, grey(9, 5, 100)))
	f.Add(claimPNG(f, 100_000, 100_000))
	f.Add(claimPNG(f, 7000, 7000))
	var b bytes.Buffer
	if err := jpeg.Encode(&b, grey(9, 5, 100), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Clone(b.Bytes()))
	b.Reset()
	if err := gif.Encode(&b, grey(9, 5, 100), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		pixels := make([]uint8, 8*6*3+1)
		pixels[8*6*3] = 42
		if err := decodeImage(content, 8, 6, 3, pixels[:8*6*3]); err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if pixels[8*6*3] != 42 {
			t.Fatal("written beyond the image")
		}
	})
}
