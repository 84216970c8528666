// Package packed makes a .tti file smaller for shipping and restores it: a packed file is the .tti
// file in zstd frames that are compressed one by one, and a table that says where each begins. Any
// zstd program unpacks it; this package does so on all cores, and reads parts of it where it lies.
// It never looks at what the bytes mean: that is package format's affair.
//
// The table is that of the zstd seekable format, version 0.1.0; FORMAT.md says which of its
// possibilities are used. Start reading at table.go.
package packed
