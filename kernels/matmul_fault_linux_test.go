package kernels

import (
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/tti-llm/tti/format/panel"
)

// TestMatMulFaultIsAPanic multiplies weights that cannot be read, as those of a file that was cut
// short under its mapping. With debug.SetPanicOnFault that must end in a panic that can be
// recovered from, out of the assembly too.
func TestMatMulFaultIsAPanic(t *testing.T) {
	const rows, columns = 200, 256
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, encoding := range matrixEncodings {
		size, err := encoding.Size([]int{rows, columns})
		if err != nil {
			t.Fatal(err)
		}
		section, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Munmap(section)
		w, err := panel.View(encoding, rows, columns, section)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range Sets() {
			for tokens := range 9 {
				x := NewActivations(tokens, columns)
				out, bias := make([]float32, tokens*w.Panels()*panelRows), make([]float32, w.Panels()*panelRows)
				fault := func() (err error) {
					defer func() { err, _ = recover().(runtime.Error) }()
					set.MatMul(out, len(bias), &w, x, bias, 0, w.Panels())
					return nil
				}()
				if fault == nil && tokens > 0 {
					t.Errorf("%s, %v, %d tokens: no fault", set.Name(), encoding, tokens)
				}
			}
		}
	}
}
