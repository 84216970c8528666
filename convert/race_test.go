//go:build race

package convert

// allocationFactor is by how much the race detector's build may allocate more than others.
const allocationFactor = 1.5
