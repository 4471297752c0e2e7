package kernel

import "gcnn/model"

// setActivatedPools installs average pooling of activated values; kind is as in setPools.
func setActivatedPools(i *implementation, kind int) {
	off := kind * poolKinds
	i.averageOf = true
	i.avgPoolOf = func(p *Pool, f model.ActivationFunc, y, x []float32, rows int) {
		switch f {
		case model.Tanh:
			poolNative(off+poolAverageOfTanh, p, x, y, nil, nil, rows)
		case model.Sigmoid:
			poolNative(off+poolAverageOfSigmoid, p, x, y, nil, nil, rows)
		default:
			avgPoolOfPortable(p, f, y, x, rows)
		}
	}
	i.avgPoolGradOf = func(p *Pool, f model.ActivationFunc, dx, dy, s []float32, rows int) {
		switch f {
		case model.ReLU:
			poolNative(off+poolAverageGradOfReLU, p, dx, dy, s, nil, rows)
		case model.Tanh:
			poolNative(off+poolAverageGradOfTanh, p, dx, dy, s, nil, rows)
		case model.Sigmoid:
			poolNative(off+poolAverageGradOfSigmoid, p, dx, dy, s, nil, rows)
		default:
			avgPoolGradOfPortable(p, f, dx, dy, s, rows)
		}
	}
}
