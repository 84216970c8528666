package kernels

// The kernels that only darwin takes are held to the reference everywhere.
func init() {
	s := *i8mmSet()
	s.name = "i8mm on darwin"
	s.matMul = darwinProducts(s.matMul)
	sets = append(sets, &s)
}
