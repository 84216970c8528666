package engine

// queue holds requests that wait, the oldest first.
type queue []*job

// next returns the number of the request whose turn it is: of the keys with the fewest running texts, the oldest request.
// A key that hands in little does not wait for one that hands in much. It is -1 if nobody waits.
func (q queue) next(running map[string]int) int {
	best := -1
	for i, job := range q {
		if best < 0 || running[job.Key] < running[q[best].Key] {
			best = i
		}
	}
	return best
}
