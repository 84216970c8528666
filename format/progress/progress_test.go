package progress

import (
	"sync"
	"testing"
)

func TestMeter(t *testing.T) {
	const goroutines, steps = 8, 1000
	reports, last := 0, int64(0)
	meter := NewMeter(2*goroutines*steps, func(done, total int64) { // the race detector would see calls that overlap
		if done != last+2 || total != 2*goroutines*steps {
			t.Errorf("%d of %d follows %d", done, total, last)
		}
		reports, last = reports+1, done
	})
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range steps {
				meter.Add(2)
			}
		})
	}
	group.Wait()
	if reports != goroutines*steps || last != 2*goroutines*steps {
		t.Errorf("%d reports up to %d", reports, last)
	}
}

func TestNobodyReads(t *testing.T) {
	NewMeter(1, nil).Add(1)
}
