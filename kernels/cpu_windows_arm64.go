package kernels

import "golang.org/x/sys/windows"

// detectI8MM says whether the CPU has the matrix products of int8, which golang.org/x/sys/cpu does not ask Windows for.
func detectI8MM() bool {
	const i8mmAvailable = 66 // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE of winnt.h; unknown numbers are answered by 0
	available, _, _ := windows.NewLazySystemDLL("kernel32.dll").NewProc("IsProcessorFeaturePresent").Call(i8mmAvailable)
	return available != 0
}
