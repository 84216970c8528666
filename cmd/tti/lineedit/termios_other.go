//go:build aix || linux || solaris || zos

package lineedit

import "golang.org/x/sys/unix"

const readTermios, writeTermios = unix.TCGETS, unix.TCSETS
