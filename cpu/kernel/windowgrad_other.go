//go:build !amd64

package kernel

type windowGradPlan []struct{}
