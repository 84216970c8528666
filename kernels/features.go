package kernels

// A feature is an extension of the instruction set that sets need, by the name that Linux gives it.
type feature struct {
	name string
	has  bool
}

// Features returns the names of the extensions that this CPU has, of those that decide which sets it can run. They are the
// names in Linux's /proc/cpuinfo.
func Features() []string {
	names := []string{}
	for _, f := range features {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}
