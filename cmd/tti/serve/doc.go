// Package serve answers OpenAI's HTTP interface with models in .tti files, many texts at once, and such that any answer can
// be had again: a response tells its seed and the fingerprint of what computed it, a log keeps requests and responses, and
// Replay computes a log again and compares.
//
// Texts come from package spec/engine; here is what lies around them. Start reading at Server.routes in server.go, then
// call.go: how a request becomes texts and these an answer. README.md says what the interface takes and what it refuses.
package serve
