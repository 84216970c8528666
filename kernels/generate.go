package kernels

//go:generate go run -C asm ./matmul -folder ..
//go:generate go run -C asm ./rows -folder ..
//go:generate go run -C asm ./neon -folder ..
