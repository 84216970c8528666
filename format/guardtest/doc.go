// Package guardtest gives tests memory between pages that cannot be touched: code that reads or writes outside of its
// slices, as assembly may, dies there at once. Start reading at Memory.
package guardtest
