//go:build amd64 || arm64

package kernel

import (
	"math"
	"unsafe"
)

// poolArgs is what the assembly of pooling reads; strides are in bytes. The generator knows the offsets.
type poolArgs struct {
	x, y, arg, mask      unsafe.Pointer // mask is the values of AverageGradOf's activation, or y where the index of a maximum not above 0 is Closed
	taps                 unsafe.Pointer
	tapsEnd              uintptr // one past the end is no pointer
	rows, cols, channels int
	xrow, xcol           int
	yrow, ycol           int
	_                    [5]int // the assembly's own
	count                uint64 // float32 bits of the number of taps
}

// poolTap is a tap's offset in bytes and its index.
type poolTap struct{ x, index int }

func planPool(p *Pool) poolPlan {
	plan := make(poolPlan, len(p.Taps))
	for i, t := range p.Taps {
		plan[i] = poolTap{int(t.X) * 64, int(t.Index)}
	}
	return plan
}

// poolPlan is what a path prepares for a Pool.
type poolPlan []poolTap

func poolNative(id int, p *Pool, x, y, mask []float32, arg []uint8, rows int) {
	a := poolArgs{
		x: base(x), y: base(y), arg: unsafe.Pointer(unsafe.SliceData(arg)), mask: base(mask), taps: unsafe.Pointer(unsafe.SliceData(p.aux)),
		rows: rows, cols: p.Cols, channels: p.Channels, xrow: p.XRow * 64, xcol: p.XCol * 64, yrow: p.YRow * 64, ycol: p.YCol * 64,
		count: uint64(math.Float32bits(float32(len(p.Taps)))),
	}
	a.tapsEnd = uintptr(a.taps) + uintptr(len(p.aux))*unsafe.Sizeof(poolTap{})
	poolCall(id, (*byte)(unsafe.Pointer(&a)))
}

// setPools installs pooling; kind is 0 for AVX2 and NEON, 1 for AVX-512.
func setPools(i *implementation, kind int) {
	off := kind * poolKinds
	i.planPool = planPool
	i.maxPool = func(p *Pool, y []float32, arg []uint8, x []float32, rows int) {
		var mask []float32
		if p.ReLU {
			mask = y
		}
		poolNative(off+poolMax, p, x, y, mask, arg, rows)
	}
	i.maxPoolGrad = func(p *Pool, dx, dy []float32, arg []uint8, rows int, add bool) {
		id := poolMaxGrad
		if add {
			id = poolMaxGradAdd
		}
		poolNative(off+id, p, dx, dy, nil, arg, rows)
	}
	i.avgPool = func(p *Pool, y, x []float32, rows int) { poolNative(off+poolAverage, p, x, y, nil, nil, rows) }
	i.avgPoolGrad = func(p *Pool, dx, dy []float32, rows int, add bool) {
		id := poolAverageGrad
		if add {
			id = poolAverageGradAdd
		}
		poolNative(off+id, p, dx, dy, nil, nil, rows)
	}
}
