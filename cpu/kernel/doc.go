// Package kernel holds the arithmetic of the CPU backend: small loops over vectors of 16 samples, in portable Go and in assembly.
//
// # Layout
//
// An activation of N samples is [N/16][H][W][C][16] float32: channels last, as in Keras, with 16 samples side by side. The 16
// floats of one (group, row, column, channel) are a vector (64 bytes); strides and offsets of activations are counted in vectors,
// those of weights in floats. A flat feature is [N/16][F][16], so that Flatten moves nothing. Weights lie as Keras has them:
// a kernel is [kh][kw][c/groups][f], a dense kernel [in][out]. Row t = (ky·kw + kx)·C + c of a kernel is tap t of the convolution, and
// its f floats are consecutive. The last group of a batch is padded: callers put zeros there and zero the loss gradient of its lanes
// (SoftmaxCrossEntropy does, where the label is negative).
//
// # Order of summation
//
// Every output element has one order of summation, whatever the tile or the width of the registers, so AVX2, AVX-512 and NEON give the
// same bits, and so do any split of the rows over workers and any split of a tap list with Init Accumulate:
//   - Gemm: starts from 0, the bias or y; then one fused multiply-add for each tap, in the order of Taps.
//   - GradLanes: each of the 16 lanes adds over rows, then columns, one fused multiply-add each; ReduceLanes adds shards in order and
//     then lanes in the fixed tree l+8, l+4, l+2, l+1.
//   - WindowGrad: as GradLanes on the gradient at the sums, which is zero where a sum did not win; the bias as AddPositions.
//   - GradOuter: starts from 0 or dw; rows, then columns, then samples 0 to 15, one fused multiply-add each.
//   - AddPositions, the channel sums: each lane adds over rows, then columns.
//   - LRN: each window anew, its channels in order.
//
// The portable path does the same with a rounding after the multiplication; it lies within c·u·Σ|aᵢbᵢ| of the exact sum, as the others
// do, with u = 2⁻²⁴ and c = 2·(terms+1). The functions built on exp and tanh differ by a few ulp between portable and assembly: Activate states
// how far each is from the exact value.
//
// # Use
//
//	k, err := kernel.Open(os.Getenv("GCNN_CPU"))       // "" takes the best path of this processor
//	g, err := k.NewGemm(kernel.GemmSpec{…})            // when a network is compiled; allocates
//	g.Do(y, x, w, bias, rows)                          // in a step; allocates nothing, may run on several goroutines at once
//
// A worker calls FlushSubnormals on its locked OS thread before a step and Restore after it: subnormal operands stall the divider
// and the multipliers. With it, subnormal operands and results are zero; this changes a result by less than 2⁻¹²⁶ per operation.
//
// Operands are slices that start at the first element that the call touches. Their length is checked against the strides once a call;
// a slice that is too short panics as an index does. Slices may lie at any alignment of 4 bytes; 64 bytes is fastest.
//
// Convolution: cut the output into regions whose positions all have the same valid taps (for 3×3 'same': a corner, an edge, the
// inside …). For each region make one Gemm. Its taps are runs: for a valid 3×3 row, Run{X: ky·W·C, W: ky·3·C, N: 3·C}; with padding,
// dilation or groups, runs are cut. A region that is a single column goes best with rows and columns swapped
// (Cols = rows of the region, XCol = row stride), so that a tile has several positions. Do then takes x at the region's first input.
// The input gradient is a Gemm too: y = dx, x = dy, taps over (ky, kx, f), and w with WTap = 1 and WOut = F, read as it lies
// (run W = (ky·kw+kx)·C·F + c₀·F), or a copy made by FlipKernel with WTap = C and WOut = 1, which has longer runs and is faster
// for many filters. Strided input gradients: one Gemm for each residue class of positions, XCol = 1 step of dy, YCol = stride.
// Dense: Cols = groups, XCol = in, YCol = out, one run. Dense input gradient: Taps {0, 0, out}, WTap = 1, WOut = out.
// A convolution with 2×2 max pooling is a Window: the grid counts windows, of which the largest of four sums is stored.
//
// Weight gradients: GradLanes where out < 16, GradOuter (with dy turned by ToSamples) otherwise: PreferLanes says which. Where nothing
// else needs the gradient at the sums of a Window, WindowGrad reads that of its maxima. GradOuter with few
// taps a call, into a scratch that stays in L1, followed by Update on the same rows of w, is the fused dense update.
package kernel
