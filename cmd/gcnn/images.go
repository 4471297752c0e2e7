package main

import (
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // formats that predict reads
	_ "image/jpeg" //
	_ "image/png"  //
	"io"
	"os"

	"golang.org/x/image/draw"

	"gcnn/model"
)

// maxPixels bounds the pixels of a picture, so that a small file cannot take all memory.
const maxPixels = 1 << 26

// readImage decodes a PNG, JPEG or GIF (its first frame) and converts it to a network's input: as much of the middle as has its
// shape, resampled to its size (Catmull-Rom), grey (ITU-R 601 luma) for one channel and RGB for three. Transparent parts are
// black, or white with invert, which then turns light into dark.
func readImage(path string, input model.Shape, invert bool) ([]uint8, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: not a PNG, JPEG or GIF: %w", path, err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxPixels/config.Height {
		return nil, fmt.Errorf("%s: a picture of %d×%d is too large, at most %d pixels are allowed", path, config.Width, config.Height, maxPixels)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	picture, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pixels, err := convert(picture, input, invert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pixels, nil
}

func convert(picture image.Image, input model.Shape, invert bool) ([]uint8, error) {
	height, width, channels := input[0], input[1], input[2]
	if channels != 1 && channels != 3 {
		return nil, fmt.Errorf("the network reads images of %d channels, a picture has 1 (grey) or 3 (RGB)", channels)
	}
	bounds := middle(picture.Bounds(), width, height)
	background := color.Gray{}
	if invert {
		background = color.Gray{Y: 255}
	}
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(scaled, scaled.Bounds(), image.NewUniform(background), image.Point{}, draw.Src)
	if bounds.Dx() == width && bounds.Dy() == height {
		draw.Draw(scaled, scaled.Bounds(), picture, bounds.Min, draw.Over) // no resampling: every pixel as it is
	} else {
		draw.CatmullRom.Scale(scaled, scaled.Bounds(), picture, bounds, draw.Over, nil)
	}
	pixels := make([]uint8, 0, height*width*channels)
	for y := range height {
		for x := range width {
			c := scaled.RGBAAt(x, y)
			if channels == 1 {
				g, ok := color.GrayModel.Convert(c).(color.Gray)
				if !ok {
					return nil, fmt.Errorf("the colour %v has no grey value", c)
				}
				pixels = append(pixels, g.Y)
			} else {
				pixels = append(pixels, c.R, c.G, c.B)
			}
		}
	}
	if invert {
		for i, v := range pixels {
			pixels[i] = 255 - v
		}
	}
	return pixels, nil
}

// middle is the largest part in the middle of a rectangle that has the proportions width:height.
func middle(r image.Rectangle, width, height int) image.Rectangle {
	w, h := r.Dx(), r.Dy()
	if w*height > h*width {
		cut := max(1, h*width/height)
		r.Min.X += (w - cut) / 2
		r.Max.X = r.Min.X + cut
	} else {
		cut := max(1, w*height/width)
		r.Min.Y += (h - cut) / 2
		r.Max.Y = r.Min.Y + cut
	}
	return r
}
