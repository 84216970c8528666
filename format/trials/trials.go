// Package trials says how often tests repeat what only chance brings to light, such as a kill at a random moment.
package trials

import (
	"os"
	"strconv"
	"testing"
)

// variable sets the number for all such tests that are run.
const variable = "TTI_TRIALS"

// Asked reports whether somebody wants trials in earnest.
func Asked() bool { return os.Getenv(variable) != "" }

// Count returns how often to try: as often as the environment asks for, or else few times where tests are to be
// short, and usual times where they are not.
func Count(t testing.TB, few, usual int) int {
	t.Helper()
	if Asked() {
		n, err := strconv.Atoi(os.Getenv(variable))
		if err != nil || n < 1 {
			t.Fatalf("%s is %q, want a number of trials", variable, os.Getenv(variable))
		}
		return n
	}
	if testing.Short() {
		return few
	}
	return usual
}
