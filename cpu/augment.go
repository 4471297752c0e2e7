package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
)

// augmentation changes the images of a group before they are gathered. Its buffers are a worker's.
type augmentation struct {
	what    device.Augment
	seed    uint64
	moves   bool    // whole pixels alone move: bytes stay bytes
	changed *buffer // the group's 16 images, one after another, as bytes or floats
	source  *buffer // one image of floats
}

// newAugmentation is nil where nothing is changed.
func (c *compiler) newAugmentation() *augmentation {
	t := c.spec.Training
	if c.purpose.mode != training || t.Augment == (device.Augment{}) {
		return nil
	}
	size := c.prog.net.Input.Size()
	a := &augmentation{what: t.Augment, seed: t.Seed, moves: t.Augment.Rotate == 0 && t.Augment.Brightness == 0 && t.Augment.Contrast == 0}
	a.changed = c.global("augmented images", kernel.Lanes*size, perWorker)
	a.source = c.global("image", size, perWorker)
	return a
}

// apply changes the images that the worker's index names and makes the index name the changed ones.
func (a *augmentation) apply(w *worker) {
	set := w.step.set
	size := set.ImageSize()
	changed := a.changed.at(w, 0)
	for l, n := range w.index {
		if n < 0 {
			continue
		}
		change := a.what.Draw(a.seed, w.step.epoch, n, set.Height, set.Width)
		if a.bytes(set) {
			move(bytesOf(changed, kernel.Lanes*size)[l*size:][:size], set.Image(int(n)), change, set.Height, set.Width, set.Channels)
		} else {
			source := a.source.at(w, 0)[:size]
			if set.Floats != nil {
				copy(source, set.FloatImage(int(n)))
			} else {
				for i, v := range set.Image(int(n)) {
					source[i] = float32(v) / 255
				}
			}
			if change.Contrast != 1 || change.Brightness != 0 {
				change.Tone(source, source, set.Channels, set.Floats == nil)
			}
			change.Place(changed[l*size:][:size], source, set.Height, set.Width, set.Channels)
		}
		w.index[l] = int32(l)
	}
}

// one applies to sample g of the step alone, which it returns.
func (a *augmentation) one(w *worker, g int) []float32 {
	for l := range w.index {
		w.index[l] = -1
	}
	w.index[0] = w.step.sample(g)
	a.apply(w)
	return a.changed.at(w, 0)
}

// bytes reports whether the changed images of a set are bytes.
func (a *augmentation) bytes(set *data.Set) bool { return a.moves && set.Floats == nil }

// move makes dst of src, whole pixels at a time.
func move(dst, src []uint8, c device.Change, height, width, channels int) {
	for row := range height {
		for col := range width {
			out := dst[(row*width+col)*channels:][:channels]
			r, q, ok := c.Source(row, col, height, width)
			if !ok {
				clear(out)
				continue
			}
			copy(out, src[(r*width+q)*channels:])
		}
	}
}
