package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestCurrent compares the committed assembly with what this generator writes.
func TestCurrent(t *testing.T) {
	t.Parallel()
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current: run go generate ./cpu/kernel", name)
		}
	}
}

// TestEncodings compares words with those of LLVM's assembler (llvm-mc --triple=aarch64 --show-encoding).
func TestEncodings(t *testing.T) {
	t.Parallel()
	three := func(op string, d, n, m int) [2]string {
		w, text := encode3(op, d, n, m)
		return [2]string{fmt.Sprintf("%08x", w), text}
	}
	two := func(op string, d, n int) [2]string {
		w, text := encode2(op, d, n)
		return [2]string{fmt.Sprintf("%08x", w), text}
	}
	fmla := func(d, n, m, i int) [2]string {
		w, text := encodeFMLA(d, n, m, i)
		return [2]string{fmt.Sprintf("%08x", w), text}
	}
	for _, c := range []struct{ got, want [2]string }{
		{three("fadd", 31, 2, 17), [2]string{"4e31d45f", "fadd v31.4s, v2.4s, v17.4s"}},
		{three("fsub", 31, 2, 17), [2]string{"4eb1d45f", "fsub v31.4s, v2.4s, v17.4s"}},
		{three("fmul", 31, 2, 17), [2]string{"6e31dc5f", "fmul v31.4s, v2.4s, v17.4s"}},
		{three("fdiv", 31, 2, 17), [2]string{"6e31fc5f", "fdiv v31.4s, v2.4s, v17.4s"}},
		{three("fcmgt", 31, 2, 17), [2]string{"6eb1e45f", "fcmgt v31.4s, v2.4s, v17.4s"}},
		{three("fcmeq", 31, 2, 17), [2]string{"4e31e45f", "fcmeq v31.4s, v2.4s, v17.4s"}},
		{three("bic", 31, 2, 17), [2]string{"4e711c5f", "bic v31.16b, v2.16b, v17.16b"}},
		{three("orn", 31, 2, 17), [2]string{"4ef11c5f", "orn v31.16b, v2.16b, v17.16b"}},
		{three("bit", 31, 2, 17), [2]string{"6eb11c5f", "bit v31.16b, v2.16b, v17.16b"}},
		{two("fsqrt", 31, 2), [2]string{"6ea1f85f", "fsqrt v31.4s, v2.4s"}},
		{two("fneg", 31, 2), [2]string{"6ea0f85f", "fneg v31.4s, v2.4s"}},
		{two("fcmlt", 31, 2), [2]string{"4ea0e85f", "fcmlt v31.4s, v2.4s, #0.0"}},
		{fmla(31, 2, 17, 0), [2]string{"4f91105f", "fmla v31.4s, v2.4s, v17.s[0]"}},
		{fmla(1, 30, 15, 1), [2]string{"4faf13c1", "fmla v1.4s, v30.4s, v15.s[1]"}},
		{fmla(1, 30, 16, 2), [2]string{"4f901bc1", "fmla v1.4s, v30.4s, v16.s[2]"}},
		{fmla(1, 30, 31, 3), [2]string{"4fbf1bc1", "fmla v1.4s, v30.4s, v31.s[3]"}},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s, %s", c.got[1], c.got[0], c.want[0], c.want[1])
		}
	}
}
