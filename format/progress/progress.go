// Package progress tells how far a work of several goroutines is.
package progress

import "sync"

// Meter adds up what is done. Its reports never overlap or go backwards. Nil is a meter that nobody
// reads.
type Meter struct {
	mutex       sync.Mutex
	done, total int64
	report      func(done, total int64)
}

// NewMeter returns a meter that calls report after every step towards total, or nil if report is.
func NewMeter(total int64, report func(done, total int64)) *Meter {
	if report == nil {
		return nil
	}
	return &Meter{total: total, report: report}
}

// Add counts a step and reports it. Several goroutines may call it at once.
func (m *Meter) Add(step int) {
	if m == nil {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.done += int64(step)
	m.report(m.done, m.total)
}
