package report

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
)

// Sizes of a confusion matrix in pixels.
const (
	numbersUpTo    = 20  // classes; beyond, cells are too small for numbers
	labelRoom      = 150 // a class name is at most this wide
	matrixLargest  = 1000
	barHeight      = 10
	smallestNumber = 44 // side of a cell that holds a number
)

// Confusion draws a confusion matrix: matrix[t][p] is the number of images of class t predicted as class p. Each
// row is shaded by its share, so that the diagonal is the recall of each class, whatever the classes' sizes.
func Confusion(w io.Writer, title string, matrix [][]int, classes []string) error {
	n := len(matrix)
	if n == 0 || n > matrixLargest || len(classes) != n {
		return fmt.Errorf("report: %s: a confusion matrix of %d rows with %d class names, expected as many, 1 to %d", title, n, len(classes), matrixLargest)
	}
	total, right := 0, 0
	for t, row := range matrix {
		if len(row) != n {
			return fmt.Errorf("report: %s: row %d of the confusion matrix has %d columns, expected %d", title, t, len(row), n)
		}
		for p, count := range row {
			if count < 0 {
				return fmt.Errorf("report: %s: %d images of class %d predicted as %d", title, count, t, p)
			}
			total += count
		}
		right += row[t]
	}
	faces, err := newTypefaces(titlePixels, textPixels)
	if err != nil {
		return err
	}

	side := max(2, min(22, 2000/n))
	if n <= numbersUpTo {
		side = smallestNumber
		for _, row := range matrix {
			for _, count := range row {
				side = max(side, textWidth(faces.text, fmt.Sprint(count))+12)
			}
		}
	}
	line := lineHeight(faces.text)
	every := max(1, (line-5+side)/side) // names that would overlap are left out
	names, longest := make([]string, n), 0
	for i, name := range classes {
		names[i] = ellipsize(faces.text, name, labelRoom)
		if i%every == 0 {
			longest = max(longest, textWidth(faces.text, names[i]))
		}
	}
	summary := fmt.Sprintf("%s of %s right", thousands(right), thousands(total))
	if total > 0 {
		summary += fmt.Sprintf(" (%.2f %%)", 100*float64(right)/float64(total))
	}

	// From left to right: the axis' name, class names, cells. From top to bottom: title, summary, cells, class names,
	// the axis' name, the scale.
	left := margin + line + 8 + longest + 8
	top := margin + lineHeight(faces.title) + 4 + line + 16
	bottom := top + n*side
	scaleTop := bottom + 8 + longest + 8 + line + 18
	width := max(left+n*side, margin+textWidth(faces.title, title), left+textWidth(faces.text, "share of the true class 0 % 100 %")+120) + margin
	c := newCanvas(width, scaleTop+line+margin)
	c.text(faces.title, margin, margin, title, ink)
	c.text(faces.text, margin, margin+lineHeight(faces.title)+4, summary, faint)

	gap := 1
	if side < 6 {
		gap = 0
	}
	c.fill(image.Rect(left-gap, top-gap, left+n*side, bottom), rule)
	for t, row := range matrix {
		rowTotal := 0
		for _, count := range row {
			rowTotal += count
		}
		for p, count := range row {
			share := 0.0
			if rowTotal > 0 {
				share = float64(count) / float64(rowTotal)
			}
			cell := image.Rect(left+p*side, top+t*side, left+(p+1)*side-gap, top+(t+1)*side-gap)
			c.fill(cell, shade(share))
			if n > numbersUpTo {
				continue
			}
			text := color.Color(ink)
			switch {
			case count == 0:
				text = color.RGBA{0xb4, 0xbb, 0xc2, 0xff}
			case share > 0.5:
				text = page
			}
			c.centred(faces.text, (cell.Min.X+cell.Max.X)/2, (cell.Min.Y+cell.Max.Y-line)/2, fmt.Sprint(count), text)
		}
	}
	for i, name := range names {
		if i%every != 0 {
			continue
		}
		middle := i*side + side/2
		c.text(faces.text, left-8-textWidth(faces.text, name), top+middle-line/2, name, ink)
		c.upward(faces.text, left+middle-line/2, bottom+8+textWidth(faces.text, name)+1, name, ink)
	}
	c.upward(faces.text, margin, (top+bottom+textWidth(faces.text, "true class"))/2, "true class", faint)
	c.centred(faces.text, left+n*side/2, bottom+8+longest+8, "predicted class", faint)
	c.scale(faces, left, scaleTop, line)
	return c.encode(w)
}

// scale explains the shades.
func (c canvas) scale(faces typefaces, x, y, line int) {
	for _, s := range []string{"share of the true class", "0 %"} {
		c.text(faces.text, x, y, s, faint)
		x += textWidth(faces.text, s) + 10
	}
	const length = 80
	bar := image.Rect(x, y+(line-barHeight)/2, x+length, y+(line+barHeight)/2)
	c.fill(bar.Inset(-1), rule)
	for i := range length {
		c.fill(image.Rect(x+i, bar.Min.Y, x+i+1, bar.Max.Y), shade(float64(i)/(length-1)))
	}
	c.text(faces.text, x+length+10, y, "100 %", faint)
}

// shade runs from white to blue. The square root shows small shares, which are what one looks for.
func shade(share float64) color.RGBA {
	f := math.Sqrt(min(1, max(0, share)))
	mix := func(to uint8) uint8 { return uint8(math.Round(255 + f*(float64(to)-255))) }
	return color.RGBA{mix(blue.R), mix(blue.G), mix(blue.B), 0xff}
}
