//go:build !linux && !darwin

package pool

// fastProcessors is 0: it is not known which processors are fast.
func fastProcessors() int { return 0 }
