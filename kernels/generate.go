package kernels

//go:generate go run ./asm/matmul -out matmul_amd64.s -stubs matmul_stubs_amd64.go -tables matmul_tables_amd64.go -pkg kernels
