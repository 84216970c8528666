package serve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Replayed is what came of computing a log again.
type Replayed struct {
	Same, Different int
	Skipped         int // records without an answer: clients that went away
}

// replaying is how many records are computed at once. The answers do not depend on it.
const replaying = 16

// Replay computes the answers of a log again and tells of each that differs; tell is called by one goroutine at a time. Where
// the Server has one model, that answers for all names. It fails where the log cannot be read or ctx is done.
func (s *Server) Replay(ctx context.Context, log io.Reader, tell func(r Record, difference string)) (Replayed, error) {
	list, err := s.models.list()
	if err != nil {
		return Replayed{}, err
	}
	only := ""
	if len(list) == 1 {
		only = list[0].name
	}
	var total Replayed
	var mutex sync.Mutex
	var workers sync.WaitGroup
	room := make(chan struct{}, replaying)
	err = eachRecord(log, func(r Record) error {
		if r.Error != "" {
			total.Skipped++
			return nil
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		workers.Go(func() {
			defer func() { <-room }()
			difference := s.compare(ctx, r, cmp.Or(only, r.Model))
			mutex.Lock()
			defer mutex.Unlock()
			if difference == "" {
				total.Same++
				return
			}
			total.Different++
			tell(r, difference)
		})
		return nil
	})
	workers.Wait()
	return total, errors.Join(err, ctx.Err())
}

// eachRecord reads a log. An error names the line.
func eachRecord(log io.Reader, f func(Record) error) error {
	lines := bufio.NewReader(log)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
}

// compare computes a record's answer again with a model, and says how it differs, nothing if it does not.
func (s *Server) compare(ctx context.Context, r Record, model string) string {
	k := kindOf(r.Endpoint)
	if k == nil {
		return fmt.Sprintf("there is no endpoint %.100q", r.Endpoint)
	}
	c, err := s.newCall(k, r.Request, "", fixed{model: model, seed: &r.Seed, now: r.Time})
	if err != nil {
		return err.Error()
	}
	defer c.release()
	if c.model.fingerprint != r.Fingerprint {
		return fmt.Sprintf("was computed by %.30s, this is %s: another file, arithmetic or encoding of keys and values", r.Fingerprint, c.model.fingerprint)
	}
	streams, err := c.start(ctx)
	if err != nil {
		return err.Error()
	}
	a, err := c.finish(ctx, streams, noSink{})
	if err != nil {
		return err.Error()
	}
	if again := encodeJSON(c.whole(a).Choices); string(again) != string(r.Choices) {
		return fmt.Sprintf("choices were %.200s, now %.200s", r.Choices, again)
	}
	if r.Usage == nil || a.usage.Prompt != r.Usage.Prompt || a.usage.Completion != r.Usage.Completion {
		return fmt.Sprintf("usage was %+v, now %+v", r.Usage, a.usage)
	}
	return ""
}

func kindOf(endpoint string) *kind {
	for _, k := range kinds {
		if k.endpoint == endpoint {
			return k
		}
	}
	return nil
}
