package engine

import (
	goruntime "runtime"

	"github.com/tti-llm/tti/runtime"
)

// SpareProcessor lets Go use one processor more than there are threads that compute, until restore is called. It is for programs whose
// threads take all processors, before they call [New]. The threads hold one each during a pass, and Go takes it from them every 10 ms
// at best: until then nobody would read a token or a request. With one to spare, the system gives whoever does so time on a
// core at once.
func SpareProcessor(threads *runtime.Threads) (restore func()) {
	before := goruntime.GOMAXPROCS(0)
	goruntime.GOMAXPROCS(max(before, threads.Count()+1))
	return func() { goruntime.GOMAXPROCS(before) }
}
