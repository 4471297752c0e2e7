package train_test

import (
	"context"
	"fmt"
	"log"

	"gcnn/cpu"
	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/model"
	"gcnn/train"
)

// Define a network, train it, evaluate it and predict with it.
func Example() {
	trainSet, testSet, err := fashionmnist.Load()
	check(err)
	trainSet, err = trainSet.Limit(6000)
	check(err)
	net, err := model.New("mine", model.Shape{28, 28, 1},
		model.Conv2D{Filters: 8, KernelSize: model.Square(3), Activation: model.ReLU},
		model.MaxPool2D{},
		model.Flatten{},
		model.Dense{Units: 10, Activation: model.Softmax})
	check(err)
	dev, err := cpu.Open(cpu.Options{})
	check(err)
	defer dev.Close()

	recipe := train.NewRecipe() // Adam, batches of 32
	recipe.Epochs = 2
	plan, err := recipe.Plan(model.Normalization{}, trainSet.Classes)
	check(err)
	program, err := dev.Compile(net, plan)
	check(err)
	defer program.Close()
	check(program.SetState(device.State{Weights: net.InitialWeights(recipe.Seed)}))
	history, err := train.Fit(context.Background(), train.Config{
		Network: net, Program: program, Recipe: recipe, Train: trainSet, Validation: testSet,
	})
	check(err)
	probabilities, err := program.Predict(context.Background(), testSet.Slice(0, 3))
	check(err)

	fmt.Println("above 70 %:", history.Records[1].ValAccuracy > 0.7, "- probabilities:", probabilities.Shape())
	// Output: above 70 %: true - probabilities: (3, 10)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
