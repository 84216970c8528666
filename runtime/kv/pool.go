// Package kv manages the memory of KV caches: pages of a few positions each, taken from a pool as a sequence
// grows, shared by sequences that begin alike, and given back.
//
// It knows no tokens and no arithmetic; what lies where in a page says kernels.KVLayout. Start reading at Pool, then
// sequence.go.
package kv

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tti-llm/tti/kernels"
)

// ErrLimit is returned where a pool would need more memory than it may have.
var ErrLimit = errors.New("limit of the KV cache reached")

// PagePositions returns the number of positions of a page for heads of a width: as many as have 8 KB of keys in a head, from
// 16 to 128. With less, reading jumps too often; with more, what kernels fetch ahead leaves the first-level cache, and a
// session takes more memory than it needs. What was measured is in kernels/README.md.
func PagePositions(encoding kernels.KVEncoding, width int) int {
	const keyBytes, fewest, most = 8 << 10, 16, 128
	positions := fewest
	for positions < most && 2*positions*kernels.PaddedHead(width)*encoding.Bytes() <= keyBytes {
		positions *= 2
	}
	return positions
}

// idleTime is how long pages that nobody uses are kept for the next sequence. Then they are left to the garbage
// collector, which returns their memory to the system.
const idleTime = 30 * time.Second

// Pool hands out pages of one layout. It is safe for concurrent use.
type Pool struct {
	layout kernels.KVLayout
	limit  int // pages, 0: as many as there is memory for

	mutex sync.Mutex
	taken int     // pages that sequences hold
	idle  []*page // given back, the latest last
	trim  *time.Timer
}

// page is the memory of some positions, and how many sequences hold it.
type page struct {
	memory  kernels.KVPage
	holders atomic.Int32
}

// NewPool returns a pool of pages of the given layout. limit bounds the memory of those in use, in bytes; 0 means no
// bound.
func NewPool(layout kernels.KVLayout, limit int64) (*Pool, error) {
	p := &Pool{layout: layout}
	if limit != 0 {
		if p.limit = int(limit / int64(layout.PageBytes())); p.limit < 1 {
			return nil, fmt.Errorf("%w: %d bytes are not enough for a page of %d positions, which takes %d", ErrLimit, limit, layout.Positions, layout.PageBytes())
		}
	}
	return p, nil
}

// Layout returns the layout of the pages.
func (p *Pool) Layout() kernels.KVLayout { return p.layout }

// Limit returns how many bytes of pages can be in use at once, 0 if there is no bound.
func (p *Pool) Limit() int64 { return int64(p.limit) * int64(p.layout.PageBytes()) }

// Taken returns how many bytes of pages are in use. Pages that sequences share count once.
func (p *Pool) Taken() int64 {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return int64(p.taken) * int64(p.layout.PageBytes())
}

// take returns a page with one holder. What a page holds that was in use before is undefined, but for the zeros that
// the layout promises.
func (p *Pool) take() (*page, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.limit > 0 && p.taken == p.limit {
		return nil, fmt.Errorf("%w: all %d pages of %d bytes are in use", ErrLimit, p.limit, p.layout.PageBytes())
	}
	p.taken++
	var taken *page
	if last := len(p.idle) - 1; last >= 0 {
		taken, p.idle[last] = p.idle[last], nil
		p.idle = p.idle[:last]
	} else {
		taken = &page{memory: make(kernels.KVPage, p.layout.PageBytes())}
	}
	taken.holders.Store(1)
	return taken, nil
}

// drop ends one holder's use of a page.
func (p *Pool) drop(dropped *page) {
	if dropped.holders.Add(-1) > 0 {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.taken--
	p.idle = append(p.idle, dropped)
	if p.trim == nil {
		p.trim = time.AfterFunc(idleTime, p.forgetIdle)
	} else {
		p.trim.Reset(idleTime)
	}
}

// forgetIdle leaves pages that nobody uses to the garbage collector.
func (p *Pool) forgetIdle() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.idle = nil
}
