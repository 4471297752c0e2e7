package devicetest

import (
	"fmt"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// testLoss checks the loss and the gradient at the logits, where a softmax belongs to a Dense and where it is a layer.
func testLoss(t *testing.T, dev device.Device) {
	sgd := device.SGD{}
	weights := func(n int) []float32 {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(i%4) / 2 // one class in four counts for nothing
		}
		return w
	}
	seed := uint64(100)
	for _, classes := range []int{2, 3, 10, 17, 100} {
		for name, net := range map[string]*model.Network{
			"dense": mustNet(model.Shape{1, 1, 7}, model.Flatten{}, model.Dense{Units: classes, Activation: model.Softmax}),
			"layer": mustNet(model.Shape{1, 1, classes}, model.Flatten{}, model.Activation{Func: model.Softmax}),
			"pool":  mustNet(model.Shape{2, 2, classes}, model.GlobalAveragePool2D{}, model.Activation{Func: model.Softmax}),
		} {
			for i, training := range []device.Training{
				{Optimizer: sgd}, {Optimizer: sgd, LabelSmoothing: 0.1}, {Optimizer: sgd, ClassWeights: weights(classes)},
				{Optimizer: sgd, LabelSmoothing: 0.25, ClassWeights: weights(classes)},
			} {
				n := []int{1, 16, 17, 5}[i]
				t.Run(fmt.Sprintf("%s %d classes %d", name, classes, i), func(t *testing.T) {
					t.Parallel()
					c := traceCase{net: net, batch: 17, n: n, training: &training, seed: seed + uint64(10*classes+i)}
					if err := c.check(dev, derivedTier); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
	// Logits so far apart that probabilities are 0 and 1 in float32: the loss is still right and finite.
	net := mustNet(model.Shape{1, 1, 4}, model.Flatten{}, model.Activation{Func: model.Softmax})
	for i, row := range [][]float32{{1000, 0, 0, 0}, {0, -1000, 0, 0}, {88, -88, 0, 104}, {1e30, -1e30, 0, 1}, {3e38, 3e38, 0, 0}, {0, 0, 0, 0}} {
		for label := range uint16(4) {
			t.Run(fmt.Sprintf("saturated %d label %d", i, label), func(t *testing.T) {
				t.Parallel()
				c := traceCase{
					net: net, batch: 2, n: 1, training: &device.Training{Optimizer: sgd},
					x: dense(row, 1, 1, 1, 4), labels: []uint16{label},
				}
				if err := c.check(dev, derivedTier); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
