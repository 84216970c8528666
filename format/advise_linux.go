package format

import "golang.org/x/sys/unix"

// adviseHugePages asks for a mapping of a file in pages of 2 MB: the tables of small ones must be looked up so often that
// memory is slower by a few percent. It has an effect on what is not in the page cache yet, on file systems that keep files in
// large pieces. The system may refuse; then all is as without.
func adviseHugePages(mapping []byte) {
	_ = unix.Madvise(mapping, unix.MADV_HUGEPAGE)
}
