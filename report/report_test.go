package report

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/goregular"

	"gcnn/data"
)

// numbered returns n images whose pixels differ from each other, in three classes.
func numbered(n, height, width, channels int) *data.Set {
	s := &data.Set{Name: "numbers", Height: height, Width: width, Channels: channels, Classes: []string{"one", "two", "three"}}
	s.Pixels, s.Labels = make([]uint8, n*s.ImageSize()), make([]uint16, n)
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i * 37)
	}
	for i := range s.Labels {
		s.Labels[i] = uint16(i % 3)
	}
	return s
}

// drawTwice decodes a picture and checks that drawing it again gives the same bytes.
func drawTwice(t *testing.T, picture func(io.Writer) error) *image.RGBA {
	t.Helper()
	var first, second bytes.Buffer
	if err := errors.Join(picture(&first), picture(&second)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two drawings of the same input differ")
	}
	img, err := png.Decode(&first)
	if err != nil {
		t.Fatal(err)
	}
	rgba := image.NewRGBA(img.Bounds())
	draw.Draw(rgba, rgba.Bounds(), img, image.Point{}, draw.Src)
	return rgba
}

// has counts the pixels of exactly one colour.
func has(img *image.RGBA, want color.RGBA) int {
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.RGBAAt(x, y) == want {
				n++
			}
		}
	}
	return n
}

// marginsClear fails where anything is drawn near the page's edge, as clipped text would be.
func marginsClear(t *testing.T, img *image.RGBA) {
	t.Helper()
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			if x >= 10 && x < b.Dx()-10 && y >= 10 && y < b.Dy()-10 {
				continue
			}
			if img.RGBAAt(x, y) != page {
				t.Fatalf("something is drawn at (%d, %d), in the margin of a %v page", x, y, b.Size())
			}
		}
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, height, width, channels, rows, columns int
	}{
		{49, 28, 28, 1, 7, 7}, {60, 32, 32, 3, 7, 7}, {5, 28, 28, 1, 7, 7}, {1, 8, 8, 1, 1, 1}, {12, 64, 64, 3, 3, 4},
		{4, 227, 227, 3, 2, 2}, {4, 300, 20, 1, 2, 2}, {6, 1, 1, 2, 2, 3}, {4, 97, 130, 4, 2, 2},
	} {
		t.Run(fmt.Sprintf("%d of %dx%dx%d", c.n, c.height, c.width, c.channels), func(t *testing.T) {
			t.Parallel()
			set := numbered(c.n, c.height, c.width, c.channels)
			img := drawTwice(t, func(w io.Writer) error { return Samples(w, set, c.rows, c.columns) })
			marginsClear(t, img)
			high, wide := tileScale(c.height, c.width)
			rows := min(c.rows, (c.n+c.columns-1)/c.columns)
			if b := img.Bounds(); b.Dx() < min(c.columns, c.n)*wide || b.Dy() < rows*high {
				t.Errorf("a page of %v for %d rows of %d tiles of %d×%d", b.Size(), rows, c.columns, wide, high)
			}
		})
	}
}

// Each pixel of a small image is a square of one colour, where the grid says.
func TestTilesAreSharp(t *testing.T) {
	t.Parallel()
	set := numbered(1, 4, 4, 3)
	img := drawTwice(t, func(w io.Writer) error { return Samples(w, set, 1, 1) })
	const f = tileSize / 4
	left := img.Bounds().Dx()/2 - tileSize/2
	top := 0
	for y := range img.Bounds().Dy() { // the frame is the first thing of its colour
		if img.RGBAAt(left, y) == rule {
			top = y + 1
			break
		}
	}
	for y := range tileSize {
		for x := range tileSize {
			k := (y/f*4 + x/f) * 3
			want := color.RGBA{set.Pixels[k], set.Pixels[k+1], set.Pixels[k+2], 255}
			if got := img.RGBAAt(left+x, top+y); got != want {
				t.Fatalf("pixel (%d, %d) of the tile is %v, want %v", x, y, got, want)
			}
		}
	}
}

func TestTileScale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ height, width, wantH, wantW int }{
		{28, 28, 84, 84}, {32, 32, 96, 96}, {64, 64, 128, 128}, {96, 96, 96, 96}, {160, 100, 160, 100},
		{227, 227, 160, 160}, {640, 320, 160, 80}, {1, 1, 96, 96}, {1, 10000, 1, 160},
	} {
		if h, w := tileScale(c.height, c.width); h != c.wantH || w != c.wantW {
			t.Errorf("%d×%d is drawn at %d×%d, want %d×%d", c.height, c.width, h, w, c.wantH, c.wantW)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float32
		want   levels
	}{
		{[]float32{0, 0.5, 1}, levels{0, 1}}, {[]float32{0, 17, 255}, levels{0, 255}},
		{[]float32{-2, 0, 2}, levels{-2, 2}}, {[]float32{0, 1000}, levels{0, 1000}},
	} {
		set := &data.Set{Height: 1, Width: len(c.values), Channels: 1, Floats: c.values}
		got := setLevels(set, []int{0})
		if got != c.want {
			t.Errorf("levels of %v: %v, want %v", c.values, got, c.want)
		}
		if got.byte(c.want.black) != 0 || got.byte(c.want.white) != 255 || got.byte(-1e9) != 0 || got.byte(1e9) != 255 {
			t.Errorf("levels %v do not map their ends to 0 and 255", got)
		}
	}
	if got := (levels{3, 3}).byte(3); got != 0 {
		t.Errorf("a flat image is drawn as %d", got)
	}
	img := toImage(&data.Set{Height: 1, Width: 1, Channels: 2, Pixels: []uint8{10, 31}}, 0, levels{0, 255})
	if got := img.RGBAAt(0, 0); got != (color.RGBA{21, 21, 21, 255}) {
		t.Errorf("two channels 10 and 31 are drawn as %v, want grey 21, their mean rounded", got)
	}
}

func TestPredictions(t *testing.T) {
	t.Parallel()
	set := numbered(25, 28, 28, 1)
	predicted := make([]int, 25)
	for i := range predicted {
		predicted[i] = set.Label(i)
	}
	img := drawTwice(t, func(w io.Writer) error { return Predictions(w, set, predicted, 5, 5) })
	marginsClear(t, img)
	if n := has(img, red); n != 0 {
		t.Errorf("%d red pixels though every prediction is right", n)
	}
	predicted[7] = 0
	if n := has(drawTwice(t, func(w io.Writer) error { return Predictions(w, set, predicted, 5, 5) }), red); n == 0 {
		t.Error("a wrong prediction is not in red")
	}
	if n := has(drawTwice(t, func(w io.Writer) error { return Mistakes(w, set, predicted, 5, 5) }), red); n == 0 {
		t.Error("a mistake is not in red")
	}
	predicted[7] = set.Label(7)
	marginsClear(t, drawTwice(t, func(w io.Writer) error { return Mistakes(w, set, predicted, 5, 5) }))
	set.Labels = nil
	if n := has(drawTwice(t, func(w io.Writer) error { return Predictions(w, set, make([]int, 25), 5, 5) }), red); n != 0 {
		t.Error("red without labels")
	}
}

// Long names neither overlap nor leave the page: the two names of a mistake take two lines, each shortened.
func TestLongNames(t *testing.T) {
	t.Parallel()
	set := numbered(9, 28, 28, 1)
	set.Name = strings.Repeat("a very long name of a set, ", 3)
	set.Classes = []string{strings.Repeat("W", 60), "n02119789 kit fox, Vulpes macrotis", "ok"}
	img := drawTwice(t, func(w io.Writer) error { return Predictions(w, set, make([]int, 9), 3, 3) })
	marginsClear(t, img)
	face, err := newFace(goregular.TTF, textPixels)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{{"ok", "ok"}, {strings.Repeat("W", 60), strings.Repeat("W", 12) + "…"}} {
		if got := ellipsize(face, c.text, captionRoom); got != c.want || textWidth(face, got) > captionRoom {
			t.Errorf("%q is shortened to %q, %d pixels, want %q", c.text, got, textWidth(face, got), c.want)
		}
	}
	if got := ellipsize(face, "WWW", 3); got != "…" {
		t.Errorf("no room: %q", got)
	}
}

func TestGridErrors(t *testing.T) {
	t.Parallel()
	set := numbered(9, 28, 28, 1)
	empty := &data.Set{Name: "none", Height: 1, Width: 1, Channels: 1}
	broken := numbered(9, 28, 28, 1)
	broken.Labels = broken.Labels[:8]
	for _, c := range []struct {
		err  error
		want string
	}{
		{Samples(io.Discard, empty, 7, 7), "report: none holds no images"},
		{Samples(io.Discard, broken, 7, 7), "report: numbers: invalid data: 9 images but 8 labels"},
		{Samples(io.Discard, set, 0, 7), "report: a grid of 0×7 images, expected 1 to 100 each way"},
		{Predictions(io.Discard, set, make([]int, 8), 5, 5), "report: numbers: 8 predictions for 9 images"},
		{Mistakes(io.Discard, set, make([]int, 8), 5, 5), "report: numbers: 8 predictions and 9 labels for 9 images"},
		{Samples(failing{}, set, 7, 7), "disk full"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %q", c.err, c.want)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestCurves(t *testing.T) {
	t.Parallel()
	long := make([]float64, 300)
	for i := range long {
		long[i] = 2 * math.Exp(-float64(i)/50)
	}
	nan := slices.Clone(long)
	nan[50], nan[51] = math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name   string
		series []Series
	}{
		{"two", []Series{{"training", []float64{0.8, 0.9, 0.95}}, {"validation", []float64{0.7, 0.8, 0.81}}}},
		{"one epoch", []Series{{"training", []float64{0.8}}, {"validation", []float64{0.7}}}},
		{"flat", []Series{{"training", []float64{0.1, 0.1}}, {"validation", []float64{0.1, 0.1}}}},
		{"zero", []Series{{"training", []float64{0, 0}}, {"validation", []float64{0}}}},
		{"long", []Series{{"training", long}, {"validation", long[:200]}}},
		{"gap", []Series{{"training", nan}, {"validation", long}}},
		{"no validation", []Series{{"training", long[:5]}, {"validation", nil}}},
		{"large", []Series{{"training", []float64{1e6, 3e7}}, {"validation", []float64{5}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			img := drawTwice(t, func(w io.Writer) error { return Curves(w, "cnn: "+c.name, "loss", c.series...) })
			marginsClear(t, img)
			if img.Bounds().Dx() != chartWidth || img.Bounds().Dy() != chartHeight {
				t.Errorf("a chart of %v", img.Bounds().Size())
			}
			// A key is a line of 26×2 pixels with at most a disc of radius 3.5; the last series lies on top.
			const key = 26*2 + 40
			if n := has(img, orange); len(c.series[1].Values) > 1 && n <= key {
				t.Errorf("%d pixels of the validation line", n)
			}
			if n := has(img, blue); n < 26 {
				t.Errorf("%d pixels of the training line's key", n)
			}
		})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{Curves(io.Discard, "loss", "loss"), "report: loss: no finite value to draw"},
		{Curves(io.Discard, "loss", "loss", Series{"training", []float64{math.NaN(), math.Inf(-1)}}), "report: loss: no finite value to draw"},
		{Curves(io.Discard, "loss", "loss", make([]Series, 5)...), "report: loss: 5 series, at most 4 fit a chart"},
		{Curves(failing{}, "loss", "loss", Series{"training", []float64{1}}), "disk full"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %q", c.err, c.want)
		}
	}
}

func TestEpochTicks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		epochs int
		want   string
	}{
		{1, "1"}, {3, "1 2 3"}, {12, "1 2 3 4 5 6 7 8 9 10 11 12"}, {13, "1 2 4 6 8 10 12"},
		{50, "1 5 10 15 20 25 30 35 40 45 50"}, {200, "1 20 40 60 80 100 120 140 160 180 200"}, {1000, "1 100 200 300 400 500 600 700 800 900 1000"},
	} {
		var labels []string
		for _, tick := range epochTicks(c.epochs) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%d epochs: %s, want %s", c.epochs, got, c.want)
		}
	}
}

func TestNiceTicks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0.7835, 0.9165, "0.75 0.80 0.85 0.90 0.95"}, {0.29, 0.61, "0.2 0.3 0.4 0.5 0.6 0.7"}, {0, 1, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{1e-5, 1e-3, "0.0000 0.0002 0.0004 0.0006 0.0008 0.0010"}, {-1, 3, "-1 0 1 2 3"}, {0.1, 0.1, "0.094 0.096 0.098 0.100 0.102 0.104 0.106"},
		{0, 0, "-0.0006 -0.0004 -0.0002 0.0000 0.0002 0.0004 0.0006"}, {5, 3e7, "0 5000000 10000000 15000000 20000000 25000000 30000000"},
	} {
		var labels []string
		for _, tick := range niceTicks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

func TestConfusion(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 10, 20, 21, 100, 300} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			matrix, names := make([][]int, n), make([]string, n)
			for i := range matrix {
				matrix[i], names[i] = make([]int, n), fmt.Sprintf("class %d", i)
				matrix[i][i] = 1000
			}
			img := drawTwice(t, func(w io.Writer) error { return Confusion(w, "cnn on numbers", matrix, names) })
			marginsClear(t, img)
			if got := has(img, blue); got < n*2 {
				t.Errorf("%d pixels of full recall for %d classes", got, n)
			}
		})
	}
	for _, c := range []struct {
		matrix [][]int
		names  []string
		want   string
	}{
		{nil, nil, "report: t: a confusion matrix of 0 rows with 0 class names, expected as many, 1 to 1000"},
		{[][]int{{1}}, []string{"a", "b"}, "report: t: a confusion matrix of 1 rows with 2 class names, expected as many, 1 to 1000"},
		{[][]int{{1, 2}, {3}}, []string{"a", "b"}, "report: t: row 1 of the confusion matrix has 1 columns, expected 2"},
		{[][]int{{1, -2}, {3, 4}}, []string{"a", "b"}, "report: t: -2 images of class 0 predicted as 1"},
	} {
		if err := Confusion(io.Discard, "t", c.matrix, c.names); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 60000: "60,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
