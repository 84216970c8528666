package kernels

//go:generate go run ./asm/rows -out rows_amd64.s -stubs rows_stubs_amd64.go -pkg kernels
