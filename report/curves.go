package report

import (
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"strconv"

	xfont "golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Series is one line of a chart: a value for each epoch, the first at epoch 1. Values that are not finite leave a gap.
type Series struct {
	Name   string
	Values []float64
}

const (
	chartWidth, chartHeight = 760, 460 // pixels; at 72 dots an inch a point is a pixel
	fewEpochs               = 30       // up to here each epoch is also a point
)

var seriesColours = []color.Color{blue, orange, color.RGBA{0x1a, 0x7f, 0x37, 0xff}, color.RGBA{0x82, 0x50, 0xdf, 0xff}}

// Curves draws series over the epochs, such as the training and the validation accuracy. At most four series fit.
func Curves(w io.Writer, title, quantity string, series ...Series) error {
	low, high, epochs, err := bounds(title, series)
	if err != nil {
		return err
	}
	styles, err := newTextStyles()
	if err != nil {
		return err
	}
	p := plot.New()
	p.TextHandler = styles.text.Handler
	styles.axis(&p.X, "epoch")
	styles.axis(&p.Y, quantity)
	ticks := niceTicks(low, high)
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Tick.Marker = plot.ConstantTicks(epochTicks(epochs))
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: rule, Width: 1}
	p.Add(grid)

	keys := make([]key, len(series))
	for i, s := range series {
		keys[i], err = addSeries(p, s, seriesColours[i])
		if err != nil {
			return fmt.Errorf("report: %s: %w", title, err)
		}
	}
	p.X.Min, p.X.Max = 1, float64(epochs)
	if epochs == 1 {
		p.X.Min, p.X.Max = 0.5, 1.5
	}
	p.Y.Min, p.Y.Max = ticks[0].Value, ticks[len(ticks)-1].Value

	img := vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(72), vgimg.UseBackgroundColor(page))
	c := draw.New(img)
	top := c.Max.Y - margin
	c.FillText(styles.title, vg.Point{X: margin, Y: top}, title)
	top -= styles.title.Font.Size + 14
	x := vg.Length(margin)
	for _, k := range keys {
		x = k.draw(c, styles.text, x, top) + 24
	}
	p.Draw(draw.Crop(c, margin, -margin, margin, top-c.Max.Y-styles.text.Font.Size-16))
	return png.Encode(w, img.Image())
}

// bounds returns the range of the finite values and the number of epochs.
func bounds(title string, series []Series) (low, high float64, epochs int, err error) {
	if len(series) > len(seriesColours) {
		return 0, 0, 0, fmt.Errorf("report: %s: %d series, at most %d fit a chart", title, len(series), len(seriesColours))
	}
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range series {
		epochs = max(epochs, len(s.Values))
		for _, v := range s.Values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return 0, 0, 0, fmt.Errorf("report: %s: no finite value to draw", title)
	}
	return low, high, epochs, nil
}

// A key explains a series above the chart.
type key struct {
	name   string
	line   draw.LineStyle
	glyph  draw.GlyphStyle
	points bool
}

func (k key) draw(c draw.Canvas, style text.Style, x, top vg.Length) (right vg.Length) {
	const length, gap = 26, 8
	middle := top - style.Font.Size*0.7
	c.StrokeLine2(k.line, x, middle, x+length, middle)
	if k.points {
		c.DrawGlyph(k.glyph, vg.Point{X: x + length/2, Y: middle})
	}
	c.FillText(style, vg.Point{X: x + length + gap, Y: top}, k.name)
	return x + length + gap + style.Width(k.name)
}

// addSeries draws each run of finite values as a line, and single epochs as points.
func addSeries(p *plot.Plot, s Series, colour color.Color) (key, error) {
	k := key{
		name: s.Name, line: draw.LineStyle{Color: colour, Width: 2}, points: len(s.Values) <= fewEpochs,
		glyph: draw.GlyphStyle{Color: colour, Radius: 3.5, Shape: draw.CircleGlyph{}},
	}
	var run plotter.XYs
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		line, points, err := plotter.NewLinePoints(run)
		if err != nil {
			return err
		}
		line.LineStyle, points.GlyphStyle = k.line, k.glyph
		p.Add(line)
		if k.points || len(run) == 1 {
			p.Add(points)
		}
		run = nil
		return nil
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			if err := flush(); err != nil {
				return key{}, err
			}
			continue
		}
		run = append(run, plotter.XY{X: float64(i + 1), Y: v})
	}
	return k, flush()
}

// textStyles set a chart in the Go fonts.
type textStyles struct{ title, text text.Style }

func newTextStyles() (textStyles, error) {
	var fonts font.Collection
	for weight, ttf := range map[xfont.Weight][]byte{xfont.WeightNormal: goregular.TTF, xfont.WeightMedium: gomedium.TTF} {
		face, err := opentype.Parse(ttf)
		if err != nil {
			return textStyles{}, fmt.Errorf("report: the embedded Go font: %w", err)
		}
		fonts = append(fonts, font.Face{Font: font.Font{Typeface: "Go", Weight: weight}, Face: face})
	}
	handler := text.Plain{Fonts: font.NewCache(fonts)}
	style := func(weight xfont.Weight, size vg.Length) text.Style {
		return text.Style{
			Color: ink, Handler: handler, XAlign: draw.XLeft, YAlign: draw.YTop,
			Font: font.Font{Typeface: "Go", Weight: weight, Size: size},
		}
	}
	return textStyles{title: style(xfont.WeightMedium, titlePixels), text: style(xfont.WeightNormal, textPixels)}, nil
}

func (s textStyles) axis(a *plot.Axis, label string) {
	horizontal := a.Tick.Label.YAlign == draw.YTop
	a.Label.Text, a.Label.Padding = label, 8
	a.Label.TextStyle.Font, a.Label.TextStyle.Handler, a.Label.TextStyle.Color = s.text.Font, s.text.Handler, ink
	a.Tick.Label.Font, a.Tick.Label.Handler, a.Tick.Label.Color = s.text.Font, s.text.Handler, faint
	a.LineStyle = draw.LineStyle{Color: rule, Width: 1}
	a.Tick.LineStyle, a.Tick.Length = draw.LineStyle{Color: rule, Width: 1}, 6
	a.Padding = 10
	if !horizontal {
		a.LineStyle.Width, a.Tick.Length = 0, 0
	}
}

// epochTicks marks whole epochs, at most a dozen, 1 always among them.
func epochTicks(epochs int) []plot.Tick {
	step := 1
	for unit := 1; (epochs+step-1)/step > 12; {
		switch step {
		case unit:
			step = 2 * unit
		case 2 * unit:
			step = 5 * unit
		default:
			unit *= 10
			step = unit
		}
	}
	ticks := []plot.Tick{{Value: 1, Label: "1"}}
	for e := step; e <= epochs; e += step {
		if e > 1 {
			ticks = append(ticks, plot.Tick{Value: float64(e), Label: strconv.Itoa(e)})
		}
	}
	return ticks
}

// niceTicks returns four to nine round values that enclose a range.
func niceTicks(low, high float64) []plot.Tick {
	span := high - low
	if span <= 1e-9*max(math.Abs(low), math.Abs(high)) {
		span = max(0.1*math.Abs(high), 1e-3)
		low, high = low-span/2, high+span/2
	}
	power := math.Floor(math.Log10(span / 6))
	step := math.Pow(10, power)
	for _, f := range []float64{1, 2, 5, 10} {
		step = f * math.Pow(10, power)
		if span/step <= 6 {
			break
		}
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var ticks []plot.Tick
	for k := math.Floor(low/step + 1e-9); ; k++ {
		value := k * step
		ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'f', decimals, 64)})
		if value >= high-1e-9*step {
			return ticks
		}
	}
}
