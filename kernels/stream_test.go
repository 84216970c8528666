package kernels

import "testing"

func TestStreamReadsEveryLine(t *testing.T) {
	for _, length := range []int{0, 7, 8, 64, 71, 72, 255, 256, 64 * 9, 64*13 + 8, 5000} {
		b := make([]byte, length)
		for line := 0; line+8 <= length; line += cacheLine {
			b[line] = 1
			if Stream(b) != 1 {
				t.Errorf("length %d: line at %d is not read", length, line)
			}
			b[line] = 0
		}
	}
}

func TestPause(t *testing.T) { Pause() }
