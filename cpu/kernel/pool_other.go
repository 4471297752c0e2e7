//go:build !amd64 && !arm64

package kernel

// poolPlan is what a path prepares for a Pool.
type poolPlan struct{}
