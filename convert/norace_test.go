//go:build !race

package convert

const allocationFactor = 1
