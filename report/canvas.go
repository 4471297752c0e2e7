package report

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

var (
	page   = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink    = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	faint  = color.RGBA{0x59, 0x63, 0x6e, 0xff}
	rule   = color.RGBA{0xd8, 0xde, 0xe4, 0xff}
	red    = color.RGBA{0xc6, 0x1a, 0x26, 0xff}
	blue   = color.RGBA{0x0a, 0x58, 0xc2, 0xff}
	orange = color.RGBA{0xd9, 0x5f, 0x02, 0xff}
)

// typefaces are the sizes in which pictures are set. Faces keep a cache of glyphs, so each picture makes its own.
type typefaces struct {
	title, text font.Face
}

func newTypefaces(titleSize, textSize float64) (typefaces, error) {
	title, err := newFace(gomedium.TTF, titleSize)
	if err != nil {
		return typefaces{}, err
	}
	text, err := newFace(goregular.TTF, textSize)
	return typefaces{title, text}, err
}

func newFace(ttf []byte, size float64) (font.Face, error) {
	parsed, err := opentype.Parse(ttf)
	if err != nil {
		return nil, fmt.Errorf("report: the embedded Go font: %w", err)
	}
	return opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingVertical})
}

// lineHeight is the distance between two baselines in pixels.
func lineHeight(face font.Face) int { return face.Metrics().Height.Ceil() }

// textWidth is the width of a line in pixels.
func textWidth(face font.Face, text string) int { return font.MeasureString(face, text).Ceil() }

// ellipsize shortens a line to a width in pixels.
func ellipsize(face font.Face, text string, width int) string {
	if textWidth(face, text) <= width {
		return text
	}
	runes := []rune(text)
	for n := len(runes) - 1; n > 0; n-- {
		if short := string(runes[:n]) + "…"; textWidth(face, short) <= width {
			return short
		}
	}
	return "…"
}

// A canvas is a page to draw on.
type canvas struct{ *image.RGBA }

func newCanvas(width, height int) canvas {
	c := canvas{image.NewRGBA(image.Rect(0, 0, width, height))}
	c.fill(c.Bounds(), page)
	return c
}

func (c canvas) fill(r image.Rectangle, col color.Color) {
	draw.Draw(c, r, image.NewUniform(col), image.Point{}, draw.Src)
}

// text draws a line with its left end at x and its top at y.
func (c canvas) text(face font.Face, x, y int, text string, col color.Color) {
	d := font.Drawer{Dst: c, Src: image.NewUniform(col), Face: face, Dot: fixed.P(x, y+face.Metrics().Ascent.Ceil())}
	d.DrawString(text)
}

// centred draws a line centred on x.
func (c canvas) centred(face font.Face, x, y int, text string, col color.Color) {
	c.text(face, x-textWidth(face, text)/2, y, text, col)
}

// upward draws a line that reads from bottom to top: it starts at y and its top is at x.
func (c canvas) upward(face font.Face, x, y int, text string, col color.Color) {
	width, height := textWidth(face, text)+1, lineHeight(face)
	mask := image.NewAlpha(image.Rect(0, 0, width, height))
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Metrics().Ascent.Ceil())}
	d.DrawString(text)
	turned := image.NewAlpha(image.Rect(0, 0, height, width))
	for i := range width {
		for j := range height {
			turned.SetAlpha(j, width-1-i, mask.AlphaAt(i, j))
		}
	}
	at := image.Rect(x, y-width, x+height, y)
	draw.DrawMask(c, at, image.NewUniform(col), image.Point{}, turned, image.Point{}, draw.Over)
}

func (c canvas) encode(w io.Writer) error { return png.Encode(w, c.RGBA) }
