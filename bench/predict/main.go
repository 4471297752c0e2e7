// Command predict measures inference: gcnn on the CPU beside PyTorch and onnxruntime, for 10,000 images that lie in memory and for
// one, and as whole commands that start, read PNG files and end. Networks that are not for Fashion-MNIST get noise, in memory alone.
//
//	go run ./bench/predict
//	go run ./bench/predict -networks lenet5 -what memory
//	go run ./bench/predict -networks alexnet -images 1
package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/peer"
	"gcnn/bench/internal/workload"
	"gcnn/cpu"
	"gcnn/data"
	"gcnn/data/fashionmnist"
	"gcnn/device"
)

func main() { cli.Main("predict", run) }

// row is a network and a number of images; its seconds are those of once over the images.
type row struct {
	Network string          `json:"network"`
	Images  int             `json:"images"`
	Command bool            `json:"command"` // a whole command over files, else calls on images in memory
	Setting string          `json:"pytorch_setting,omitempty"`
	Noise   *measure.Result `json:"measured"`
}

type report struct {
	Host measure.Host `json:"host"`
	Rows []row        `json:"rows"`
}

type options struct {
	measure.Flags
	images  int
	batch   int
	workers int
}

const (
	gcnnName  = "gcnn"
	torchName = "PyTorch"
	onnxName  = "onnxruntime"
)

func run(ctx context.Context, c *cli.Command) error {
	var o options
	o.Register(c.FlagSet, 5)
	networks := c.String("networks", "cnn,lenet5", "which to measure, of "+strings.Join(workload.Names(), ", ")+"; noise for those that are not for Fashion-MNIST")
	what := c.String("what", "memory,files", "memory: calls on images in memory; files: whole commands over PNG files")
	c.IntVar(&o.images, "images", 10_000, "images of the large case, at most 10,000, or as many as there are; 1 leaves it out")
	c.IntVar(&o.batch, "batch", 256, "images at a time in the large case")
	c.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "gcnn's workers and the peers' most threads")
	if err := c.Parse(); err != nil {
		return err
	}
	if err := o.Check(); err != nil {
		return err
	}
	if o.images < 1 || o.images > 10_000 || o.batch < 1 {
		return fmt.Errorf("-images is from 1 to 10000 and -batch at least 1, got %d and %d", o.images, o.batch)
	}
	works, err := workload.Find(*networks)
	if err != nil {
		return err
	}
	root, python, err := c.Python()
	if err != nil {
		return err
	}
	test, err := fashionmnist.Test()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gcnn-predict-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := cpu.Open(cpu.Options{Workers: o.workers})
	if err != nil {
		return err
	}
	defer d.Close()
	r := report{Host: measure.NewHost(d.Info().Model)}
	for _, w := range works {
		set := test
		if w.Images > 0 {
			if set, err = w.Set(); err != nil {
				return err
			}
		}
		for kind := range strings.SplitSeq(*what, ",") {
			var rows []row
			switch kind {
			case "memory":
				rows, err = inMemory(ctx, d, root, python, dir, w, set, o)
			case "files":
				if w.Images > 0 {
					continue
				}
				rows, err = commands(ctx, root, python, dir, w, test, o)
			default:
				return fmt.Errorf("-what is of memory and files, got %q", kind)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", w.Name, err)
			}
			r.Rows = append(r.Rows, rows...)
		}
	}
	return c.Print(r, r.print)
}

// start starts both peers: PyTorch with a network of the workload, which it writes as ONNX, and onnxruntime with that file.
func start(root, python, dir string, w workload.Workload, o options) (torch, onnx *peer.Peer, err error) {
	if torch, err = peer.Start(root, python, "torch_peer.py"); err != nil {
		return nil, nil, err
	}
	if onnx, err = peer.Start(root, python, "onnx_peer.py"); err != nil {
		return nil, nil, errors.Join(err, torch.Close())
	}
	file, err := writeONNX(torch, root, dir, w, o)
	if err == nil {
		request := w.Peer(root)
		request["do"], request["file"], request["threads"] = "setup", file, o.workers
		delete(request, "model") // it has a file, and each prediction its batch
		delete(request, "batch")
		_, err = onnx.Ask(request)
	}
	if err != nil {
		return nil, nil, errors.Join(err, torch.Close(), onnx.Close())
	}
	return torch, onnx, nil
}

// writeONNX has PyTorch write the workload's network with softmax, and returns the file.
func writeONNX(torch *peer.Peer, root, dir string, w workload.Workload, o options) (string, error) {
	file := filepath.Join(dir, w.Name+".onnx")
	_, err := torch.Ask(peer.Setting{Threads: o.workers}.Request(w.Peer(root)))
	if err == nil {
		_, err = torch.Ask(peer.Request{"do": "onnx", "file": file})
	}
	return file, err
}

// turnWork is about how many multiply-adds a turn has.
const turnWork = 20_000_000_000

// inMemory takes turns over the images in memory: all of them in batches, then one.
func inMemory(ctx context.Context, d device.Device, root, python, dir string, w workload.Workload, set *data.Set, o options) (rows []row, err error) {
	net, err := w.Network()
	if err != nil {
		return nil, err
	}
	macs := int64(0)
	for _, n := range net.Nodes {
		macs += n.MACs
	}
	torch, onnx, err := start(root, python, dir, w, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, torch.Close(), onnx.Close()) }()
	for _, c := range []struct{ images, batch int }{{min(o.images, set.Len()), o.batch}, {1, 1}} {
		if c.images == 1 && c.batch > 1 {
			continue
		}
		times := int(max(1, min(10_000, turnWork/(macs*int64(c.images)))))
		request := peer.Request{"do": "predict", "images": c.images, "batch": c.batch, "times": times}
		setting, _, err := torch.Best(peer.InferenceSettings(o.workers), w.Peer(root), request, request, os.Stderr)
		if err != nil {
			return rows, err
		}
		if _, err := torch.Ask(setting.Request(w.Peer(root))); err != nil {
			return rows, err
		}
		p, err := workload.NewPredictor(d, w, set.Slice(0, c.images), c.batch)
		if err != nil {
			return rows, err
		}
		ask := func(p *peer.Peer) func() (float64, error) {
			return func() (float64, error) {
				a, err := p.Ask(request)
				return a.Seconds, err
			}
		}
		contestants := []measure.Contestant{
			{Name: gcnnName, Run: func() (float64, error) { return p.Predict(ctx, times) }},
			{Name: torchName, PID: torch.PID(), Run: ask(torch)},
			{Name: onnxName, PID: onnx.PID(), Run: ask(onnx)},
		}
		for _, c := range contestants { // warm-up
			if _, err := c.Run(); err != nil {
				return rows, errors.Join(err, p.Close())
			}
		}
		noise, err := o.Turns(os.Stderr).Run(ctx, contestants...)
		if err = errors.Join(err, p.Close()); err != nil {
			return rows, err
		}
		rows = append(rows, row{w.Name, c.images, false, setting.String(), noise})
	}
	return rows, nil
}

// commands takes turns of whole processes: gcnn predict, and Python scripts that start, read the network, and predict the files.
func commands(ctx context.Context, root, python, dir string, w workload.Workload, test *data.Set, o options) ([]row, error) {
	torch, err := peer.Start(root, python, "torch_peer.py")
	if err != nil {
		return nil, err
	}
	file, err := writeONNX(torch, root, dir, w, o)
	if err = errors.Join(err, torch.Close()); err != nil {
		return nil, err
	}
	binary, err := command.Build(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	trained := filepath.Join(dir, w.Name)
	if _, err := command.Run(ctx, binary, "train", "--model", w.Name, "--epochs", "1", "--limit", "256", "--out", trained, "--quiet"); err != nil {
		return nil, err
	}
	var rows []row
	for _, images := range slices.Compact([]int{o.images, 1}) {
		folder := filepath.Join(dir, fmt.Sprintf("%s-%d", w.Name, images))
		files, err := writePNG(folder, test, images)
		if err != nil {
			return rows, err
		}
		script := func(name string, setup peer.Request) func() (float64, error) {
			return func() (float64, error) { return predictFiles(root, python, name, setup, folder) }
		}
		onnx := peer.Request{"do": "setup", "file": file, "threads": o.workers}
		noise, err := o.Turns(os.Stderr).Run(ctx,
			measure.Contestant{Name: gcnnName, Run: func() (float64, error) {
				u, err := command.Run(ctx, binary, append([]string{"predict", "--device", "cpu", trained}, files...)...)
				return u.Seconds, err
			}},
			measure.Contestant{Name: torchName, Run: script("torch_peer.py", peer.Setting{Threads: o.workers}.Request(peer.Request{"model": w.Name}))},
			measure.Contestant{Name: onnxName, Run: script("onnx_peer.py", onnx)},
		)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row{w.Name, images, true, "", noise})
	}
	return rows, nil
}

// predictFiles is a whole process of a peer: start, set-up, prediction, end.
func predictFiles(root, python, script string, setup peer.Request, folder string) (float64, error) {
	start := time.Now()
	p, err := peer.Start(root, python, script)
	if err != nil {
		return 0, err
	}
	_, err = p.Ask(setup)
	if err == nil {
		_, err = p.Ask(peer.Request{"do": "predict_files", "folder": folder})
	}
	err = errors.Join(err, p.Close())
	return time.Since(start).Seconds(), err
}

// writePNG writes images as files and returns their paths.
func writePNG(folder string, set *data.Set, images int) ([]string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	files := make([]string, images)
	for i := range files {
		files[i] = filepath.Join(folder, fmt.Sprintf("%05d.png", i))
		f, err := os.Create(files[i])
		if err != nil {
			return nil, err
		}
		picture := &image.Gray{Pix: set.Image(i), Stride: set.Width, Rect: image.Rect(0, 0, set.Width, set.Height)}
		if err := errors.Join(png.Encode(f, picture), f.Close()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (r report) print(out io.Writer) {
	fmt.Fprintf(out, "%v. Milliseconds, medians.\n\n", r.Host)
	t := measure.Table{Head: []string{"network", "what", gcnnName, torchName, onnxName, "gcnn beside PyTorch", "beside onnxruntime"}}
	var notes []string
	for _, w := range r.Rows {
		what := fmt.Sprintf("%d images in memory", w.Images)
		switch {
		case w.Images == 1 && w.Command:
			what = "command, one PNG"
		case w.Command:
			what = fmt.Sprintf("command, %d PNGs", w.Images)
		case w.Images == 1:
			what = "one image in memory"
		}
		s := w.Noise.Seconds
		ms := func(name string) string { return fmt.Sprintf("%.3g", 1000*measure.Median(s[name])) }
		times := func(name string) string {
			return fmt.Sprintf("%.1f×", measure.Median(measure.Ratios(s[name], s[gcnnName])))
		}
		t.Add("`"+w.Network+"`", what, ms(gcnnName), ms(torchName), ms(onnxName), times(torchName), times(onnxName))
		if w.Setting != "" {
			notes = append(notes, fmt.Sprintf("`%s`, %s: PyTorch with %s.", w.Network, what, w.Setting))
		}
		if c := w.Noise.Caution(); c != "" {
			notes = append(notes, c)
		}
	}
	fmt.Fprint(out, t.String())
	fmt.Fprintln(out, "\n"+strings.Join(notes, "\n"))
}
