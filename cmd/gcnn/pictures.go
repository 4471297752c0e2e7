package main

import (
	"context"
	"io"

	"gcnn/report"
	"gcnn/train"
)

const (
	sampleRows     = 7 // and columns, as in the lesson
	predictionRows = 5
)

// pictures draws what a run leaves to look at.
func (r *trainRun) pictures(history train.History) error {
	curves := []struct{ file, quantity string }{{train.AccuracyFile, "accuracy"}, {train.LossFile, "loss"}}
	for _, c := range curves {
		if len(history.Records) == 0 {
			break
		}
		series := []report.Series{{Name: "training"}}
		columns := []string{c.quantity}
		if history.Validation {
			series, columns = append(series, report.Series{Name: "validation"}), append(columns, "val_"+c.quantity)
		}
		for i, column := range columns {
			var err error
			if series[i].Values, err = history.Values(column); err != nil {
				return err
			}
		}
		err := r.folder.Write(c.file, func(w io.Writer) error {
			return report.Curves(w, r.net.Name+" on "+r.settings.DataName(), c.quantity, series...)
		})
		if err != nil {
			return err
		}
	}
	err := r.folder.Write(train.SamplesFile, func(w io.Writer) error { return report.Samples(w, r.train, sampleRows, sampleRows) })
	if err != nil {
		return err
	}
	unseen := r.test
	if unseen == nil {
		unseen = r.validation
	}
	if unseen == nil {
		return nil // nothing to predict that was not trained on
	}
	shown, err := unseen.Limit(predictionRows * predictionRows)
	if err != nil {
		return err
	}
	probabilities, err := r.program.Predict(context.Background(), shown)
	if err != nil {
		return err
	}
	best, err := winners(probabilities)
	if err != nil {
		return err
	}
	return r.folder.Write(train.PredictionsFile, func(w io.Writer) error {
		return report.Predictions(w, shown, best, predictionRows, predictionRows)
	})
}
