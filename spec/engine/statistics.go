package engine

// Statistics counts what an Engine has done since it began, and tells what it is at.
type Statistics struct {
	Running int // texts that were admitted and have not ended
	Waiting int // requests in the queue

	Submitted   int // requests taken in
	Refused     int // requests turned away with ErrBusy
	Steps       int // batches
	Prefilled   int // rows of prompts, those of preempted texts included
	Tokens      int // drawn
	Drafted     int // guesses that were checked
	Accepted    int // of these, the ones that were right
	Preemptions int // texts whose pages were taken back

	Prefixes PrefixStatistics
}

// Statistics returns the counts of now.
func (e *Engine) Statistics() Statistics {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	s := e.statistics
	s.Waiting = len(e.waiting)
	return s
}

// count changes the statistics.
func (e *Engine) count(change func(*Statistics)) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	change(&e.statistics)
}
