package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/goccy/go-yaml"

	"gcnn/internal/strictyaml"
)

// monitors are the quantities that callbacks can watch.
var monitors = []string{"val_loss", "val_accuracy", "loss", "accuracy"}

func checkMonitor(name string) error {
	if name != "" && !slices.Contains(monitors, name) {
		return fmt.Errorf("monitor is one of %v, got %q", monitors, name)
	}
	return nil
}

// EarlyStopping ends a training when a quantity no longer improves, as Keras' callback does.
type EarlyStopping struct {
	Monitor            string  `yaml:"monitor,omitempty"` // default val_loss; an accuracy is to rise, a loss to fall
	Patience           int     `yaml:"patience,omitempty"`
	MinDelta           float64 `yaml:"min_delta,omitempty"`
	StartFromEpoch     int     `yaml:"start_from_epoch,omitempty"` // counted from 0
	RestoreBestWeights bool    `yaml:"restore_best_weights,omitempty"`
}

func (s EarlyStopping) check() error {
	if s.Patience < 0 || s.StartFromEpoch < 0 || !(s.MinDelta >= 0) || math.IsInf(s.MinDelta, 0) {
		return fmt.Errorf("patience, min_delta and start_from_epoch are at least 0, got %d, %g and %d", s.Patience, s.MinDelta, s.StartFromEpoch)
	}
	return checkMonitor(s.Monitor)
}

// ReduceLROnPlateau multiplies the learning rate when a quantity no longer improves, as Keras' callback does.
type ReduceLROnPlateau struct {
	Monitor  string  `yaml:"monitor,omitempty"` // default val_loss
	Factor   float64 `yaml:"factor,omitempty"`
	Patience int     `yaml:"patience,omitempty"`
	MinDelta float64 `yaml:"min_delta,omitempty"`
	Cooldown int     `yaml:"cooldown,omitempty"`
	MinRate  float64 `yaml:"min_lr,omitempty"`
}

// NewReduceLROnPlateau has Keras' defaults: factor 0.1, patience 10, min_delta 1e-4.
func NewReduceLROnPlateau() *ReduceLROnPlateau {
	return &ReduceLROnPlateau{Factor: 0.1, Patience: 10, MinDelta: 1e-4}
}

// DecodeYAML reads what differs from Keras' defaults.
func (r *ReduceLROnPlateau) DecodeYAML(node strictyaml.Node) error {
	type plain ReduceLROnPlateau // without this method
	*r = *NewReduceLROnPlateau()
	return node.Decode((*plain)(r))
}

// MarshalYAML writes all fields: zero is a value of its own for those that have another default.
func (r ReduceLROnPlateau) MarshalYAML() (any, error) {
	return yaml.MapSlice{
		{Key: "monitor", Value: cmp.Or(r.Monitor, "val_loss")}, {Key: "factor", Value: r.Factor}, {Key: "patience", Value: r.Patience},
		{Key: "min_delta", Value: r.MinDelta}, {Key: "cooldown", Value: r.Cooldown}, {Key: "min_lr", Value: r.MinRate},
	}, nil
}

func (r ReduceLROnPlateau) check() error {
	if !(r.Factor > 0 && r.Factor < 1) || r.Patience < 0 || !(r.MinDelta >= 0) || r.Cooldown < 0 || !(r.MinRate >= 0) {
		return fmt.Errorf("factor lies between 0 and 1; patience, min_delta, cooldown and min_lr are at least 0, got %g, %d, %g, %d and %g",
			r.Factor, r.Patience, r.MinDelta, r.Cooldown, r.MinRate)
	}
	return checkMonitor(r.Monitor)
}

// watch follows a quantity. Its fields are part of checkpoints.
type watch struct {
	Seen     bool    `json:"seen"`
	Best     float64 `json:"best"`
	BestAt   int     `json:"best_epoch"`
	Wait     int     `json:"wait"`
	Cooldown int     `json:"cooldown,omitempty"`
}

// improved notes a value of an epoch and reports whether it is better than the best by more than delta.
func (w *watch) improved(value, delta float64, rising bool, epoch int) bool {
	better := !w.Seen || (rising && value-delta > w.Best) || (!rising && value < w.Best-delta)
	if better {
		w.Seen, w.Best, w.BestAt = true, value, epoch
	}
	return better
}

// value is the monitored quantity of a record and whether it is to rise.
func (r Record) value(monitor string) (v float64, rising bool) {
	switch monitor {
	case "accuracy":
		return r.Accuracy, true
	case "val_accuracy":
		return r.ValAccuracy, true
	case "loss":
		return r.Loss, false
	}
	return r.ValLoss, false
}

// step notes an epoch, counted from 0, and reports whether it is the best so far and whether training ends.
func (s EarlyStopping) step(w *watch, r Record, epoch int) (best, stop bool) {
	if epoch < s.StartFromEpoch {
		return false, false
	}
	value, rising := r.value(s.Monitor)
	w.Wait++
	if w.improved(value, s.MinDelta, rising, epoch) {
		w.Wait = 0
		return true, false
	}
	return false, w.Wait >= s.Patience && epoch > 0
}

// step notes an epoch and returns the learning rate after it.
func (r ReduceLROnPlateau) step(w *watch, rec Record, epoch int, rate float64) float64 {
	value, rising := rec.value(r.Monitor)
	if w.Cooldown > 0 {
		w.Cooldown--
		w.Wait = 0
	}
	if w.improved(value, r.MinDelta, rising, epoch) {
		w.Wait = 0
		return rate
	}
	if w.Cooldown > 0 {
		return rate
	}
	w.Wait++
	if w.Wait >= r.Patience && rate > r.MinRate {
		w.Cooldown, w.Wait = r.Cooldown, 0
		return max(rate*r.Factor, r.MinRate)
	}
	return rate
}
