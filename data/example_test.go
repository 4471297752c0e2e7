package data_test

import (
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"gcnn/data"
)

// Pictures in class folders, read as 16×16 grey images; the last quarter of each class is for validation.
func ExampleFolder() {
	dir := pictures()
	all, _, err := data.Folder{Dir: dir, Height: 16, Width: 16, Channels: 1}.Load()
	check(err)
	train, validation, err := all.Split(0.25)
	check(err)
	fmt.Println(train.Len(), "training images of", train.Classes)
	for i := range validation.Len() {
		fmt.Println("validation:", validation.ClassName(validation.Label(i)), validation.Image(i)[0])
	}
	check(os.RemoveAll(dir))
	// Output:
	// 6 training images of [dark light]
	// validation: dark 20
	// validation: light 220
}

// pictures makes a folder of two classes with four pictures each.
func pictures() string {
	dir, err := os.MkdirTemp("", "pictures")
	check(err)
	for class, grey := range map[string]uint8{"dark": 20, "light": 220} {
		folder := filepath.Join(dir, "train", class)
		check(os.MkdirAll(folder, 0o777))
		square := image.NewGray(image.Rect(0, 0, 20, 20))
		for k := range square.Pix {
			square.Pix[k] = grey
		}
		for i := range 4 {
			f, err := os.Create(filepath.Join(folder, fmt.Sprint(i, ".png")))
			check(err)
			check(png.Encode(f, square))
			check(f.Close())
		}
	}
	return dir
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
