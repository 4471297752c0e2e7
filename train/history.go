package train

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// Record is what an epoch came to.
type Record struct {
	Epoch        int     `json:"epoch"` // from 0, as in Keras
	Accuracy     float64 `json:"accuracy"`
	Loss         float64 `json:"loss"`
	ValAccuracy  float64 `json:"val_accuracy"`
	ValLoss      float64 `json:"val_loss"`
	LearningRate float64 `json:"learning_rate"` // of the epoch's last step
	Seconds      float64 `json:"seconds"`
}

// History is the record of each epoch, in order.
type History struct {
	Records    []Record
	Validation bool // whether the records have validation figures
}

// columns of history.csv: those of Keras' CSVLogger, then the learning rate.
func (h History) columns() []string {
	if h.Validation {
		return []string{"epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"}
	}
	return []string{"epoch", "accuracy", "loss", "learning_rate"}
}

// Write writes the history as CSV, each number with as many digits as it takes to read the same bits again: float64, and float32
// for the learning rate, which is what devices take.
func (h History) Write(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{h.columns()}
	number := func(v float64, bits int) string { return strconv.FormatFloat(v, 'g', -1, bits) }
	for _, r := range h.Records {
		row := []string{strconv.Itoa(r.Epoch), number(r.Accuracy, 64), number(r.Loss, 64)}
		if h.Validation {
			row = append(row, number(r.ValAccuracy, 64), number(r.ValLoss, 64))
		}
		rows = append(rows, append(row, number(r.LearningRate, 32)))
	}
	return c.WriteAll(rows)
}

// Values is a column of the history by its name in history.csv.
func (h History) Values(column string) ([]float64, error) {
	values := make([]float64, len(h.Records))
	for i, r := range h.Records {
		switch column {
		case "accuracy":
			values[i] = r.Accuracy
		case "loss":
			values[i] = r.Loss
		case "val_accuracy":
			values[i] = r.ValAccuracy
		case "val_loss":
			values[i] = r.ValLoss
		case "learning_rate":
			values[i] = r.LearningRate
		default:
			return nil, fmt.Errorf("a history has no column %q", column)
		}
	}
	return values, nil
}
