package kernel

import "fmt"

// OutputsSpec describes a tap product whose lanes are outputs, for one sample at a time: for each position q of each region and output j,
//
//	y[q + j] = init + Σ_t w[t·WTap + j] · x[q + off(t)]
//
// with the taps t of the region's runs in order. It is the forward pass of convolution and dense where a batch has too few samples to
// fill the lanes with. An element's order of summation is that of Gemm, so that both have the same bits. Offsets and strides of x and y
// are counted in floats here.
type OutputsSpec struct {
	Regions []OutputsRegion
	Outs    int // outputs j, at least 1
	WTap    int // floats from one row of w to the next
	Init    Init
	ReLU    bool // y = max(y, 0) at the end; NaN stays NaN
}

// OutputsRegion is a rectangle of positions that all have the same taps; without taps y is what it starts from.
type OutputsRegion struct {
	Grid
	Rows int
	X, Y int   // of the first position
	Taps []Run // rows of w ascend
}

// Outputs is an OutputsSpec made ready.
type Outputs struct {
	OutputsSpec
	x, y, w int // extents in floats
	run     outputsFunc
}

// outputsFunc runs what a path has prepared for an OutputsSpec.
type outputsFunc func(y, x, w, bias []float32)

// NewOutputs checks a spec and makes it ready. Errors wrap ErrSpec.
func (k *Kernels) NewOutputs(s OutputsSpec) (*Outputs, error) {
	if s.Outs < 1 || s.WTap < s.Outs || s.Init > Accumulate {
		return nil, fmt.Errorf("%w: there is at least one output, and rows of w are at least that long, got Outs %d, WTap %d, Init %d",
			ErrSpec, s.Outs, s.WTap, s.Init)
	}
	o := &Outputs{OutputsSpec: s}
	rows, err := o.measure(s.Outs)
	if err != nil {
		return nil, err
	}
	if rows > 0 {
		o.w = (rows-1)*s.WTap + s.Outs
	}
	o.run = k.impl.outputs(o)
	return o, nil
}

// measure checks the regions and finds the extents, where a position is so many floats wide; rows are those of w.
func (o *Outputs) measure(width int) (rows int, err error) {
	for i := range o.Regions {
		r := &o.Regions[i]
		if err := r.check(); err != nil {
			return 0, err
		}
		if r.Rows < 1 || r.X < 0 || r.Y < 0 {
			return 0, fmt.Errorf("%w: region %d has %d rows from x %d and y %d", ErrSpec, i, r.Rows, r.X, r.Y)
		}
		o.y = max(o.y, r.Y+r.Grid.y(r.Rows, width))
		if len(r.Taps) == 0 {
			continue
		}
		x, w, err := checkRuns(r.Taps)
		if err != nil {
			return 0, err
		}
		for t := 1; t < len(r.Taps); t++ {
			if before := r.Taps[t-1]; r.Taps[t].W < before.W+before.N {
				return 0, fmt.Errorf("%w: run %d of region %d begins at row %d, the one before ends at %d",
					ErrSpec, t, i, r.Taps[t].W, before.W+before.N)
			}
		}
		o.x, rows = max(o.x, r.X+r.Grid.x(r.Rows, x)), max(rows, w)
	}
	return rows, nil
}

// Do computes all regions. y, x, w and bias start at the first element of the first output; bias has Outs floats and is read with Init
// Bias alone.
func (o *Outputs) Do(y, x, w, bias []float32) {
	if o.Init == Bias {
		bias = bias[:o.Outs]
	}
	o.run(y[:o.y], x[:o.x], w[:o.w], bias)
}

// Flops is the number of floating-point operations: two for each tap, output and position.
func (o *Outputs) Flops() (flops int64) {
	for i := range o.Regions {
		r := &o.Regions[i]
		for _, t := range r.Taps {
			flops += 2 * int64(t.N) * int64(o.Outs) * int64(r.Cols) * int64(r.Rows)
		}
	}
	return flops
}

// outputsPortable takes eight outputs at a time.
func outputsPortable(o *Outputs) outputsFunc {
	return func(y, x, w, bias []float32) {
		for i := range o.Regions {
			r := &o.Regions[i]
			for row := range r.Rows {
				for col := range r.Cols {
					yq := y[r.Y+row*r.YRow+col*r.YCol:][:o.Outs]
					at := r.X + row*r.XRow + col*r.XCol
					for j := 0; j < o.Outs; j += 8 {
						o.eight(yq, x, at, w, bias, r.Taps, j)
					}
				}
			}
		}
	}
}

func (o *Outputs) eight(y, x []float32, from int, w, bias []float32, taps []Run, j int) {
	n := min(8, o.Outs-j)
	var s [8]float32
	switch o.Init {
	case Bias:
		copy(s[:n], bias[j:])
	case Accumulate:
		copy(s[:n], y[j:])
	case Zero:
	}
	a0, a1, a2, a3, a4, a5, a6, a7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	var tail [8]float32
	for _, t := range taps {
		at := int(t.W)*o.WTap + j
		for _, v := range x[from+int(t.X):][:t.N] {
			p := &tail
			if n == 8 {
				p = (*[8]float32)(w[at:])
			} else {
				copy(tail[:n], w[at:])
			}
			a0 += v * p[0]
			a1 += v * p[1]
			a2 += v * p[2]
			a3 += v * p[3]
			a4 += v * p[4]
			a5 += v * p[5]
			a6 += v * p[6]
			a7 += v * p[7]
			at += o.WTap
		}
	}
	s = [8]float32{a0, a1, a2, a3, a4, a5, a6, a7}
	for l, v := range s[:n] {
		if o.ReLU {
			v = relu(v)
		}
		y[j+l] = v
	}
}

// Depthwise is a convolution of each channel by itself, one sample at a time, with lanes over the channels:
//
//	y[q + c] = init + Σ_t w[t·channels + c] · x[q + off(t) + c]
//
// Each run of the taps is one row of w. Channels of x and y lie in whole vectors; what is in the last one's padding does not matter. With
// one tap it is an affine map.
type Depthwise struct{ Outputs }

// NewDepthwise makes a depthwise convolution of so many channels; errors wrap ErrSpec.
func (k *Kernels) NewDepthwise(regions []OutputsRegion, channels int, init Init, relu bool) (*Depthwise, error) {
	if channels < 1 || init > Accumulate {
		return nil, fmt.Errorf("%w: a depthwise convolution has at least one channel, got %d, Init %d", ErrSpec, channels, init)
	}
	for _, r := range regions {
		for _, t := range r.Taps {
			if t.N != 1 {
				return nil, fmt.Errorf("%w: a depthwise run is one tap, got %+v", ErrSpec, t)
			}
		}
	}
	d := &Depthwise{Outputs{OutputsSpec: OutputsSpec{Regions: regions, Outs: channels, WTap: channels, Init: init, ReLU: relu}}}
	rows, err := d.measure(Padded(channels))
	if err != nil {
		return nil, err
	}
	if d.x > 0 {
		d.x += Padded(channels) - 1
	}
	d.w = rows * channels
	d.run = k.impl.depthwise(d)
	return d, nil
}

func depthwisePortable(d *Depthwise) outputsFunc {
	return func(y, x, w, bias []float32) {
		for i := range d.Regions {
			r := &d.Regions[i]
			for row := range r.Rows {
				for col := range r.Cols {
					yq := y[r.Y+row*r.YRow+col*r.YCol:][:d.Outs]
					at := r.X + row*r.XRow + col*r.XCol
					switch d.Init {
					case Zero:
						clear(yq)
					case Bias:
						copy(yq, bias)
					case Accumulate:
					}
					for _, t := range r.Taps {
						v := x[at+int(t.X):][:d.Outs]
						for c, f := range w[int(t.W)*d.Outs:][:d.Outs] {
							yq[c] += f * v[c]
						}
					}
					if d.ReLU {
						for c, v := range yq {
							yq[c] = relu(v)
						}
					}
				}
			}
		}
	}
}
