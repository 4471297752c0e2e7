//go:build cuda

package kernels_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gcnn/kernels"
)

// The set of these tests: 9 images of 5×4×3.
const (
	images, height, width, channels = 9, 5, 4, 3
	size                            = height * width * channels
)

// augmented is what gather does to an image, as an offset into the image or −1, written pixel by pixel.
func augmented(a [8]int16, h, w, c int) int {
	if top, left, side := int(a[3]), int(a[4]), int(a[5]); h >= top && h < top+side && w >= left && w < left+side {
		return -1
	}
	h, w = h-int(a[1]), w-int(a[2])
	if h < 0 || h >= height || w < 0 || w >= width {
		return -1
	}
	if a[0] == 1 {
		w = width - 1 - w
	}
	return (h*width+w)*channels + c
}

func TestGather(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 0))
	pixels, floats := make([]uint8, images*size), make([]float32, images*size)
	for i := range pixels {
		pixels[i], floats[i] = uint8(r.Uint32()), r.Float32()
	}
	labels, table := make([]uint16, images), make([]float32, channels*256)
	for i := range labels {
		labels[i] = uint16(r.Uint32N(1000))
	}
	for i := range table {
		table[i] = float32(i%256)/255 - float32(i/256)
	}
	order, records := []int32{8, 2, 2, 5, 0, 7, 1}, make([][8]int16, 7)
	for i := range records {
		records[i] = [8]int16{int16(i % 2), int16(r.IntN(5) - 2), int16(r.IntN(5) - 2), int16(r.IntN(7) - 1), int16(r.IntN(6) - 1), int16(i % 3)}
	}
	records[0] = [8]int16{}
	shift, scale := []float32{0.1, 0.2, 0.3}, []float32{2, 3, 0.7}

	gPixels, gFloats, gLabels, gOrder, gTable := upload(t, pixels), upload(t, floats), upload(t, labels), upload(t, order), upload(t, table)
	gRecords, gShift, gScale := upload(t, records), upload(t, shift), upload(t, scale)
	for _, step := range []int{0, 1, 2} {
		for _, augment := range []bool{false, true} {
			t.Run(fmt.Sprint(step, augment), func(t *testing.T) {
				const batch = 3
				valid := min(batch, len(order)-step*batch)
				cursor := upload(t, []uint64{uint64(step), 99})
				var where kernels.Pointer
				if augment {
					where = gRecords.ptr()
				}
				want, wantFloats, targets := make([]float32, batch*size), make([]float32, batch*size), make([]int32, batch)
				for row := range valid {
					place := step*batch + row
					targets[row] = int32(labels[order[place]])
					for e := range size {
						from, c := e, e%channels
						if augment {
							from = augmented(records[place], e/channels/width, e/channels%width, c)
						}
						pixel, value := uint8(0), float32(0)
						if from >= 0 {
							at := int(order[place])*size + from
							pixel, value = pixels[at], floats[at]
						}
						want[row*size+e] = table[c*256+int(pixel)]
						wantFloats[row*size+e] = (value - shift[c]) / scale[c]
					}
				}
				x, y := empty(t, batch*size), upload(t, []int32{-1, -1, -1})
				launch(t, kernels.GatherBytes{Images: gPixels.ptr(), Labels: gLabels.ptr(), Order: gOrder.ptr(), Cursor: cursor.ptr(), Table: gTable.ptr(), Augment: where, X: x.ptr(), Targets: y.ptr(),
					Rows: batch, Height: height, Width: width, Channels: channels, Batch: batch, Valid: uint32(valid), Ring: images}.Launch())
				equal(t, "x", x.host(), want)
				equal(t, "targets", y.host(), targets)

				x, y = empty(t, batch*size), upload(t, []int32{-1, -1, -1})
				launch(t, kernels.GatherFloats{Images: gFloats.ptr(), Labels: gLabels.ptr(), Order: gOrder.ptr(), Cursor: cursor.ptr(), Shift: gShift.ptr(), Scale: gScale.ptr(), Augment: where, X: x.ptr(), Targets: y.ptr(),
					Rows: batch, Height: height, Width: width, Channels: channels, Batch: batch, Valid: uint32(valid), Ring: images}.Launch())
				equal(t, "x of floats", x.host(), wantFloats)
				equal(t, "targets of floats", y.host(), targets)
			})
		}
	}
	t.Run("a ring", func(t *testing.T) {
		const ring, batch = 4, 2 // the third step begins at the ring's first sample again
		for step, want := range []int{0, 2, 0, 2, 0} {
			cursor, wantX, wantFloats := upload(t, []uint64{uint64(step), 99}), make([]float32, batch*size), make([]float32, batch*size)
			for i := range wantX {
				c := i % channels
				wantX[i], wantFloats[i] = table[c*256+int(pixels[want*size+i])], (floats[want*size+i]-shift[c])/scale[c]
			}
			x, y := empty(t, batch*size), upload(t, []int32{-1, -1})
			launch(t, kernels.GatherBytes{Images: gPixels.ptr(), Labels: gLabels.ptr(), Cursor: cursor.ptr(), Table: gTable.ptr(), X: x.ptr(), Targets: y.ptr(),
				Rows: batch, Height: height, Width: width, Channels: channels, Batch: batch, Valid: batch, Ring: ring}.Launch())
			equal(t, "x", x.host(), wantX)
			equal(t, "targets", y.host(), []int32{int32(labels[want]), int32(labels[want+1])})
			x = empty(t, batch*size)
			launch(t, kernels.GatherFloats{Images: gFloats.ptr(), Labels: gLabels.ptr(), Cursor: cursor.ptr(), Shift: gShift.ptr(), Scale: gScale.ptr(), X: x.ptr(), Targets: y.ptr(),
				Rows: batch, Height: height, Width: width, Channels: channels, Batch: batch, Valid: batch, Ring: ring}.Launch())
			equal(t, "x of floats", x.host(), wantFloats)
		}
	})
	t.Run("own order, no labels, no cursor", func(t *testing.T) {
		x, y := empty(t, 2*size), upload(t, []int32{-1, -1})
		launch(t, kernels.GatherBytes{Images: gPixels.ptr(), Table: gTable.ptr(), X: x.ptr(), Targets: y.ptr(), Rows: 2, Height: height, Width: width, Channels: channels, Batch: 2, Valid: 2, Ring: images}.Launch())
		want := make([]float32, 2*size)
		for i := range want {
			want[i] = table[i%channels*256+int(pixels[i])]
		}
		equal(t, "x", x.host(), want)
		equal(t, "targets", y.host(), []int32{0, 0})
	})
}

func TestStoreRows(t *testing.T) {
	t.Parallel()
	rows, result := upload(t, []float32{1, 2, 3, 4, 5, 6}), upload(t, make([]float32, 12))
	store := func(step uint64, valid uint32) {
		cursor := upload(t, []uint64{step, 0})
		launch(t, kernels.StoreRows{Rows: rows.ptr(), Result: result.ptr(), Cursor: cursor.ptr(), Width: 2, Batch: 3, Valid: valid, Ring: 6}.Launch())
	}
	store(1, 3)
	store(2, 1) // the ring begins again
	equal(t, "result", result.host(), []float32{1, 2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6})
}
