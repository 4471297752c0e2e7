package main

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// rows are the probabilities of each image.
func rows(probabilities *tensor.Dense) ([][]float32, error) {
	values, ok := probabilities.Data().([]float32)
	if !ok || probabilities.Dims() != 2 {
		return nil, fmt.Errorf("probabilities are float32 of images and classes, got %v %v", probabilities.Dtype(), probabilities.Shape())
	}
	n, classes := probabilities.Shape()[0], probabilities.Shape()[1]
	list := make([][]float32, n)
	for i := range list {
		list[i] = values[i*classes : (i+1)*classes]
	}
	return list, nil
}

// ranked are the classes from the most probable on; the first of equals first.
func ranked(p []float32) []int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	return order
}

// winners is the most probable class of each image.
func winners(probabilities *tensor.Dense) ([]int, error) {
	list, err := rows(probabilities)
	best := make([]int, len(list))
	for i, p := range list {
		for c, v := range p {
			if v > p[best[i]] {
				best[i] = c
			}
		}
	}
	return best, err
}
