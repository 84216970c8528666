// Package format is the .tti container: header, index, checksummed sections, an atomic writer and
// a mapped reader. It knows bytes, not models. FORMAT.md is the specification; where it and the
// code differ, it is right.
//
// Start reading at FORMAT.md, then header.go.
package format
