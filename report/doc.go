// Package report draws what a training leaves behind: grids of images, predictions, curves and confusion matrices.
//
// Every picture is a PNG on a light page, set in the Go fonts. The same input gives the same bytes.
package report
