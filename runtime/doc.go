// Package runtime opens a .tti file and runs the model in it: tokens in, logits out, with a KV
// cache per session, and text generation on top. Weights are used where the file is mapped; nothing
// is copied or repacked. Speed never changes an answer: logits and tokens do not depend on the
// number of threads, on how tokens are grouped into calls, or on the instruction set.
//
// It never writes a file and never converts one; that is package convert.
//
// Start reading at gpt2.go, the forward pass from top to bottom, then session.go.
package runtime
