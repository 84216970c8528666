package hub

import (
	"context"
	"time"
)

// Limits of what a hub can cost, beside those of [modelfiles.MaxSize] and [modelfiles.ParseIndex]. The
// documentation of this package lists them all.
const (
	// maxListing is for the answer that lists a repository; one with 100,000 files takes about 10 MB.
	maxListing = 16 << 20
	// maxHeader is for the header of an answer. The hub's have 4 KB.
	maxHeader = 64 << 10
	// maxRedirects is net/http's own.
	maxRedirects = 10
)

// defaultTiming can wait out the hub's rate limits, whose window is five minutes
// (https://huggingface.co/docs/hub/rate-limits).
var defaultTiming = timing{
	stall:    30 * time.Second,
	least:    30 << 10,
	attempts: 6,
	advance:  1 << 20,
	backoff:  time.Second,
	longest:  5 * time.Minute,
	lockPoll: 200 * time.Millisecond,
	sleep:    sleep,
}

// timing holds every duration the package waits for, and how often it tries.
type timing struct {
	stall    time.Duration // how long a request may go on without bringing least bytes
	least    int64
	attempts int           // at one request, or at advance bytes of a download
	advance  int64         // large enough for a server that breaks off after a few bytes to be given up some day
	backoff  time.Duration // before the second attempt; doubles with every further one
	longest  time.Duration // the longest wait; a server that asks for more is not waited for
	lockPoll time.Duration // between looks at a lock that another process holds
	sleep    func(context.Context, time.Duration) error
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
