package cpu

import (
	"fmt"
	"slices"
	"sync"

	"gcnn/data"
	"gcnn/device"
)

// resident is a set that was loaded: a copy, in memory that is fast to reach in any order, or where that would take too much the
// set itself. One that stands for a file is then read through the page cache.
type resident struct {
	program  *program
	set      *data.Set
	images   int
	place    device.Placement
	unusable error // why it cannot be trained on or evaluated

	mu     sync.Mutex
	closed bool
}

func (r *resident) Len() int { return r.images }

func (r *resident) Placement() device.Placement { return r.place }

func (r *resident) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && !r.place.Streamed {
		r.program.copied.Add(-r.place.Bytes)
	}
	r.closed, r.set = true, nil
	return nil
}

// placement decides whether a set is copied where so many bytes are left for copies.
func placement(set *data.Set, room int64) device.Placement {
	bytes := set.Bytes()
	return device.Placement{Set: set.Name, Bytes: bytes, Streamed: bytes > room}
}

// Load checks a set, and copies it where there is room.
func (p *program) Load(set *data.Set) (device.Resident, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if err := device.CheckSet(p.net, set, false); err != nil {
		return nil, err
	}
	own := *set
	place := placement(set, p.setMemory-p.copied.Load())
	if !place.Streamed {
		if set.Pixels != nil {
			own.Pixels = aligned[uint8](len(set.Pixels))
		}
		if set.Floats != nil {
			own.Floats = aligned[float32](len(set.Floats))
		}
		if err := set.Reading(func() {
			copy(own.Pixels, set.Pixels)
			copy(own.Floats, set.Floats)
		}); err != nil {
			return nil, err
		}
		own.Labels = slices.Clone(set.Labels)
		p.copied.Add(place.Bytes)
	}
	return &resident{program: p, set: &own, images: own.Len(), place: place, unusable: device.CheckSet(p.net, set, true)}, nil
}

// labelled is the set behind a resident, checked for training and evaluation.
func (p *program) labelled(r device.Resident) (*data.Set, error) {
	own, ok := r.(*resident)
	if !ok || own.program != p {
		return nil, fmt.Errorf("%w: the set was not loaded by this program", device.ErrArgument)
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.closed {
		return nil, fmt.Errorf("the set is %w", device.ErrClosed)
	}
	return own.set, own.unusable
}
