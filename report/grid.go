package report

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"strconv"

	"golang.org/x/image/font"

	"gcnn/data"
)

const (
	margin      = 24  // around the page
	gutter      = 14  // between two cells
	captionGap  = 6   // between an image and its caption
	captionRoom = 172 // a cell is at most this wide for its caption's sake
)

// A cell is one image of a grid with its caption of one or more lines.
type cell struct {
	image   int
	caption []string
	colour  color.Color
}

// Samples draws the first rows·columns images of a set in a grid, each with its class name beneath it. A set with
// fewer images gives a smaller grid.
func Samples(w io.Writer, set *data.Set, rows, columns int) error {
	n, err := gridSize(set, rows, columns)
	if err != nil {
		return err
	}
	cells := make([]cell, min(n, set.Len()))
	for i := range cells {
		cells[i] = cell{image: i, colour: ink}
		if label := set.Label(i); label >= 0 {
			cells[i].caption = []string{set.ClassName(label)}
		}
	}
	title := fmt.Sprintf("%s: %s of %s images", set.Name, thousands(len(cells)), thousands(set.Len()))
	if len(cells) == set.Len() {
		title = fmt.Sprintf("%s: %s images", set.Name, thousands(len(cells)))
	}
	return drawGrid(w, set, title, cells, columns)
}

// Predictions draws the first rows·columns images of a labelled set, each titled with its predicted class; a wrong
// one in red with the true class in parentheses. predicted holds the class of each image, as many as are drawn or more.
func Predictions(w io.Writer, set *data.Set, predicted []int, rows, columns int) error {
	n, err := gridSize(set, rows, columns)
	if err != nil {
		return err
	}
	n = min(n, set.Len())
	if len(predicted) < n {
		return fmt.Errorf("report: %s: %d predictions for %d images", set.Name, len(predicted), n)
	}
	images := make([]int, n)
	right := 0
	for i := range images {
		images[i] = i
		if predicted[i] == set.Label(i) {
			right++
		}
	}
	title := fmt.Sprintf("%s: %d of %d predicted right", set.Name, right, n)
	if set.Labels == nil {
		title = fmt.Sprintf("%s: %d predictions", set.Name, n)
	}
	return drawPredictions(w, set, title, predicted, images, columns)
}

// Mistakes draws the first rows·columns images whose predicted class is wrong, as [Predictions] does. predicted
// holds the class of every image. A picture without mistakes says so.
func Mistakes(w io.Writer, set *data.Set, predicted []int, rows, columns int) error {
	n, err := gridSize(set, rows, columns)
	if err != nil {
		return err
	}
	if len(predicted) != set.Len() || len(set.Labels) != set.Len() {
		return fmt.Errorf("report: %s: %d predictions and %d labels for %d images", set.Name, len(predicted), len(set.Labels), set.Len())
	}
	var images []int
	wrong := 0
	for i, class := range predicted {
		if class == set.Label(i) {
			continue
		}
		wrong++
		if len(images) < n {
			images = append(images, i)
		}
	}
	title := fmt.Sprintf("%s: %s of %s images predicted wrong", set.Name, thousands(wrong), thousands(set.Len()))
	return drawPredictions(w, set, title, predicted, images, columns)
}

func drawPredictions(w io.Writer, set *data.Set, title string, predicted, images []int, columns int) error {
	faces, err := newTypefaces(titlePixels, textPixels)
	if err != nil {
		return err
	}
	cells := make([]cell, len(images))
	for k, i := range images {
		cells[k] = cell{image: i, colour: ink, caption: []string{set.ClassName(predicted[i])}}
		label := set.Label(i)
		if label < 0 || predicted[i] == label {
			continue
		}
		cells[k].colour = red
		one, truth := set.ClassName(predicted[i]), "("+set.ClassName(label)+")"
		if both := one + " " + truth; textWidth(faces.text, both) <= captionRoom {
			cells[k].caption = []string{both}
		} else {
			cells[k].caption = []string{one, truth}
		}
	}
	return drawGrid(w, set, title, cells, columns)
}

func gridSize(set *data.Set, rows, columns int) (int, error) {
	if err := set.Validate(); err != nil {
		return 0, fmt.Errorf("report: %w", err)
	}
	if set.Len() == 0 {
		return 0, fmt.Errorf("report: %s holds no images", set.Name)
	}
	if rows < 1 || columns < 1 || rows > 100 || columns > 100 {
		return 0, fmt.Errorf("report: a grid of %d×%d images, expected 1 to 100 each way", rows, columns)
	}
	return rows * columns, nil
}

const (
	titlePixels = 17
	textPixels  = 13
)

func drawGrid(w io.Writer, set *data.Set, title string, cells []cell, columns int) error {
	faces, err := newTypefaces(titlePixels, textPixels)
	if err != nil {
		return err
	}
	columns = max(1, min(columns, len(cells)))
	rows := (len(cells) + columns - 1) / columns
	high, wide := tileScale(set.Height, set.Width)
	cellWidth := wide
	for i := range cells {
		for j, line := range cells[i].caption {
			line = ellipsize(faces.text, line, max(wide, captionRoom))
			cells[i].caption[j] = line
			cellWidth = max(cellWidth, textWidth(faces.text, line))
		}
	}
	// A short row, such as the one image of a set, still leaves room for the title.
	gridWidth := columns*cellWidth + (columns-1)*gutter
	width := max(gridWidth, textWidth(faces.title, title)) + 2*margin
	left := (width - gridWidth) / 2
	top := margin + lineHeight(faces.title) + gutter
	rowHeights, height := make([]int, rows), top
	for r := range rows {
		rowHeights[r] = high + captionHeight(faces.text, cells[r*columns:min(len(cells), (r+1)*columns)]) + gutter
		height += rowHeights[r]
	}
	c := newCanvas(width, height-gutter+margin)
	c.centred(faces.title, width/2, margin, title, ink)

	images := make([]int, len(cells))
	for i, cell := range cells {
		images[i] = cell.image
	}
	levels := setLevels(set, images)
	y := top
	for r := range rows {
		for k, cell := range cells[r*columns : min(len(cells), (r+1)*columns)] {
			centre := left + k*(cellWidth+gutter) + cellWidth/2
			frame := image.Rect(0, 0, wide, high).Add(image.Pt(centre-wide/2, y))
			c.fill(frame.Inset(-1), rule)
			c.tile(frame, set, cell.image, levels)
			for j, line := range cell.caption {
				c.centred(faces.text, centre, y+high+captionGap+j*lineHeight(faces.text), line, cell.colour)
			}
		}
		y += rowHeights[r]
	}
	return c.encode(w)
}

func captionHeight(face font.Face, cells []cell) int {
	lines := 0
	for _, cell := range cells {
		lines = max(lines, len(cell.caption))
	}
	if lines == 0 {
		return 0
	}
	return captionGap + lines*lineHeight(face)
}

// thousands writes 60000 as 60,000.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
