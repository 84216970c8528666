// Package format is the .tti container: header, index, checksummed sections, an atomic writer and
// a mapped reader. It knows bytes, not models: it never looks inside a tensor or a tokenizer and
// never copies or converts a weight. FORMAT.md is the specification; where it and the code
// differ, it is right.
//
// Start reading at FORMAT.md, then header.go and section.go (what a file says), write.go (how it
// comes to be) and file.go (how it is opened).
package format
