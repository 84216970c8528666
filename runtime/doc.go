// Package runtime opens a .tti file and runs the model in it: tokens in, logits out, with a KV cache for every session,
// and text on top. Weights are used where the file is mapped; no matrix is copied or repacked. Speed never changes an
// answer: logits and tokens do not depend on the number of threads, on how tokens are grouped into calls, on what other
// sessions are run along, or on the instruction set.
//
// To use a model, start at [Open] and [Model.Generate], or [Session] where a text is continued. [Batch] runs several
// sessions in one pass. Who decodes in a way of their own finds sampling and the bookkeeping of a text in package
// generation; forward passes are in package forward, their caches in package kv.
//
// It never writes a file and never converts one; that is package convert.
package runtime
