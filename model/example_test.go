package model_test

import (
	"fmt"
	"log"
	"os"

	"gcnn/model"
)

// A network in Go: a layer without inputs reads the one before, and others name what they read.
func ExampleNew() {
	net, err := model.New("residual", model.Shape{32, 32, 3},
		model.Conv2D{Filters: 16, KernelSize: model.Square(3), Padding: model.Same, Activation: model.ReLU},
		model.SeparableConv2D{Name: "branch", Filters: 16, KernelSize: model.Square(3), Padding: model.Same},
		model.Add{Inputs: []string{"conv2d", "branch"}},
		model.GlobalAveragePool2D{},
		model.Dense{Units: 10, Activation: model.Softmax})
	if err != nil {
		log.Fatal(err)
	}
	classes, err := net.Classes()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(classes, "classes,", net.Summarize().Params, "parameters")
	// Output: 10 classes, 1034 parameters
}

// The same from a file: errors give the line and the layer.
func ExampleLoad() {
	_, err := model.Load("mine.yaml", []byte(`
input: [8, 8, 1]
layers:
  - conv2d: {filters: 4, kernel_size: 9}
  - flatten
  - dense: {units: 2, activation: softmax}
`))
	fmt.Println(err)
	// Output: mine.yaml:4: invalid network: conv2d: a 9×9 kernel, padding valid, does not fit an input of 8×8×1
}

// A preset for other images and classes, as a file to start from.
func ExampleMarshal() {
	net, err := model.Preset("cnn", model.Shape{32, 32, 3}, 5)
	if err != nil {
		log.Fatal(err)
	}
	text, err := model.Marshal(net)
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(text)
	// Output:
	// name: cnn
	// input: [32, 32, 3]
	// layers:
	//   - conv2d: {filters: 8, kernel_size: 3, activation: relu}
	//   - max_pooling2d
	//   - flatten
	//   - dense: {units: 28, activation: relu}
	//   - dense: {units: 5, activation: softmax}
}
