package kernels

import (
	"strings"
	"testing"
)

func TestTableMatchesModules(t *testing.T) {
	t.Parallel()
	modules := map[string]string{}
	for _, m := range Modules() {
		modules[m.Name] = m.PTX
		if !strings.Contains(m.PTX, ".version 7.8\n.target sm_75\n") {
			t.Errorf("%s.ptx is not PTX 7.8 for sm_75", m.Name)
		}
	}
	for _, k := range All() {
		if !strings.Contains(modules[k.Module], ".entry "+k.Name+"(\n") {
			t.Errorf("module %s has no kernel %s", k.Module, k.Name)
		}
	}
}

func TestLaunchPacksArguments(t *testing.T) {
	t.Parallel()
	l := ActivationForward{X: 1 << 40, N: 300, Channels: 3, Function: -1, Alpha: 0.5}.Launch()
	want := []uint64{1 << 40, 0, 0, 0, 300, 3, 0xffffffff, 0x3f000000}
	if len(l.Args) != len(l.Kernel.Params) || len(l.Args) != len(want) {
		t.Fatalf("%d arguments for %d parameters", len(l.Args), len(l.Kernel.Params))
	}
	for i := range want {
		if l.Args[i] != want[i] {
			t.Errorf("argument %s is %#x, want %#x", l.Kernel.Params[i].Name, l.Args[i], want[i])
		}
	}
	if l.Grid != [3]uint32{2, 1, 1} || l.Block != [3]uint32{256, 1, 1} {
		t.Errorf("geometry %v × %v", l.Grid, l.Block)
	}
}

func TestBiasChunksCoverRows(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{1, 7, 64, 65, 4096, 86528, 1 << 20} {
		for _, channels := range []int{1, 3, 6, 16, 32, 33, 120, 4096} {
			chunk, chunks, groups := BiasChunks(rows, channels)
			g := columns(rows, channels, chunk)
			if chunk*chunks < rows || chunk*(chunks-1) >= rows {
				t.Errorf("%d rows, %d channels: %d chunks of %d", rows, channels, chunks, chunk)
			}
			if int(g.grid[1]) != chunks || int(g.grid[0]) != groups || chunks > 512 {
				t.Errorf("%d rows, %d channels: grid %v, %d chunks, %d groups", rows, channels, g.grid, chunks, groups)
			}
			if g.block[0]*g.block[1] != threads {
				t.Errorf("%d channels: a block of %v threads", channels, g.block)
			}
		}
	}
}
