// Package engine runs many texts of one model at once. A scheduler builds one batch for each step: the next tokens of all
// running texts first, then pieces of prompts that wait, as far as the step does not become much longer by them. The weights
// are read once for all rows of a batch.
//
// Every text is the one that runtime.Model.Generate gives for the same prompt, sampling and limits, token by token, whatever
// else runs, comes and goes meanwhile. Load, cached prefixes and preemptions change the time and nothing else.
//
// A user starts at New and Engine.Submit; a reader at step.go.
package engine
