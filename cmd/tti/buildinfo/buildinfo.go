// Package buildinfo tells which version of tti a program is.
package buildinfo

import "runtime/debug"

// Version returns what Go has written into the program: the tag of a release as v1.2.3, a pseudo-version with time and commit
// between releases, "(devel)" where Go saw no version control.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
