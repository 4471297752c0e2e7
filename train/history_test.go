package train

import (
	"encoding/csv"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHistoryWrite wants the fewest digits that give each number's own bits again.
func TestHistoryWrite(t *testing.T) {
	t.Parallel()
	rates := []float32{0.001, 1e-4, 0.1, 1.0 / 3, 3e-45, 0}
	h := History{Validation: true}
	tenth := 0.1 // a variable: constants add without rounding
	for i, rate := range rates {
		h.Records = append(h.Records, Record{Epoch: i, Accuracy: 2.0 / 3, Loss: tenth + 0.2, ValAccuracy: 0.5, ValLoss: 1e-300, LearningRate: float64(rate)})
	}
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	want := []string{
		"epoch,accuracy,loss,val_accuracy,val_loss,learning_rate", "0,0.6666666666666666,0.30000000000000004,0.5,1e-300,0.001",
		"1,0.6666666666666666,0.30000000000000004,0.5,1e-300,0.0001",
	}
	if diff := cmp.Diff(want, lines[:len(want)]); diff != "" {
		t.Error(diff)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		if got, err := strconv.ParseFloat(row[5], 32); err != nil || float32(got) != rates[i] {
			t.Errorf("rate %v was read as %v: %v", rates[i], got, err)
		}
		if got, err := strconv.ParseFloat(row[2], 64); err != nil || got != h.Records[i].Loss {
			t.Errorf("loss %v was read as %v: %v", h.Records[i].Loss, got, err)
		}
	}
}
