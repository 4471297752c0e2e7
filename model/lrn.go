package model

import "fmt"

// LocalResponseNormalization is AlexNet's, across channels (Krizhevsky et al. 2012, section 3.3), with cuDNN's and PyTorch's
// meaning of alpha: y = x·(Bias + Alpha/Size·Σx²)^−Beta, the sum over the Size channels around each, ⌊Size/2⌋ before it and
// the rest from it on; channels outside count as zero.
type LocalResponseNormalization struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs,omitempty"`
	Size   int      `yaml:"size,omitempty"`  // channels, default 5
	Alpha  float32  `yaml:"alpha,omitempty"` // default 1e-4
	Beta   float32  `yaml:"beta,omitempty"`  // default 0.75
	Bias   float32  `yaml:"bias,omitempty"`  // the paper's k, default 2
}

// Kind is "local_response_normalization".
func (LocalResponseNormalization) Kind() string { return "local_response_normalization" }

func (l LocalResponseNormalization) identity() (string, []string) { return l.Name, l.Inputs }

func (l LocalResponseNormalization) resolve(inputs []Shape) (resolved, error) {
	in, err := oneMap(inputs)
	if err != nil {
		return resolved{}, err
	}
	if l.Size == 0 {
		l.Size = 5
	}
	if l.Alpha == 0 {
		l.Alpha = 1e-4
	}
	if l.Beta == 0 {
		l.Beta = 0.75
	}
	if l.Bias == 0 {
		l.Bias = 2
	}
	// cuDNN's limits: CUDNN_LRN_MIN_N, CUDNN_LRN_MAX_N, CUDNN_LRN_MIN_K, CUDNN_LRN_MIN_BETA.
	if l.Size < 1 || l.Size > 16 || l.Size%2 == 0 || !(l.Alpha > 0) || !(l.Beta >= 0.01) || !(l.Bias >= 1e-5) {
		return resolved{}, fmt.Errorf("size is odd and from 1 to 15, alpha above 0, beta at least 0.01, bias at least 1e-5, got %d, %g, %g, %g",
			l.Size, l.Alpha, l.Beta, l.Bias)
	}
	return resolved{layer: l, out: in}, nil
}
