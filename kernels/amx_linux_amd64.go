package kernels

import "syscall"

// permitTiles asks Linux for permission to use the tiles of AMX, for all threads of the process. A kernel that has none, or
// does not know them, refuses.
func permitTiles() bool {
	const requestPermission, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	_, _, failure := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return failure == 0
}
