package main

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// waitFile waits until a file exists: waitfile PATH.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile PATH")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not appear within a minute", args[0])
}

// sendSignal sends a signal by its number to the last background command: signal 15.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	commands := ts.BackgroundCmds()
	if neg || len(args) != 1 || len(commands) == 0 {
		ts.Fatalf("usage: signal NUMBER, with a command in the background")
	}
	number, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(commands[len(commands)-1].Process.Signal(syscall.Signal(number)))
}

// writePNG draws a light square on dark: png PATH WIDTH HEIGHT.
func writePNG(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: png PATH WIDTH HEIGHT")
	}
	w, err := strconv.Atoi(args[1])
	ts.Check(err)
	h, err := strconv.Atoi(args[2])
	ts.Check(err)
	img := image.NewGray(image.Rect(0, 0, w, h))
	draw.Draw(img, image.Rect(w/4, h/4, 3*w/4, 3*h/4), image.NewUniform(color.White), image.Point{}, draw.Src)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(png.Encode(f, img))
	ts.Check(f.Close())
}

// writeFolder makes class folders of small pictures, with so many in each: folder PATH COUNT….
func writeFolder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: folder PATH COUNT…")
	}
	for class, arg := range args[1:] {
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		dir := filepath.Join(ts.MkAbs(args[0]), "class-"+strconv.Itoa(class))
		ts.Check(os.MkdirAll(dir, 0o777))
		for i := range n {
			writePNG(ts, false, []string{filepath.Join(dir, strconv.Itoa(i)+".png"), strconv.Itoa(8 + class), strconv.Itoa(8 + i)})
		}
	}
}
