package kernels

import (
	"maps"
	"runtime"

	"github.com/tti-llm/tti/format"
)

// sets holds what this architecture has, the fastest first. What a set has no kernels of its own for it takes from the next.
var sets = []*Set{i8mmSet(), dotProdSet(), neonSet(), &reference}

// neonSet needs nothing but ARMv8.0.
func neonSet() *Set {
	s := neonRows.replaceIn(reference)
	s.name = "neon"
	s.matMul = map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulTiles(f32NEONTiles),
		format.PanelF16:  matMulTiles(f16NEONTiles),
		format.PanelInt8: matMulTiles(int8NEONTiles),
		format.PanelInt4: matMulTiles(int4NEONTiles),
	}
	return &s
}

func dotProdSet() *Set {
	s := *neonSet()
	s.name = "dotprod"
	s.supported = func() bool { return hasDotProd }
	s.matMul[format.PanelInt8] = matMulTiles(int8DotProdTiles)
	s.matMul[format.PanelInt4] = matMulTiles(int4DotProdTiles)
	return &s
}

func i8mmSet() *Set {
	s := *dotProdSet()
	s.name = "i8mm"
	s.supported = func() bool { return hasI8MM }
	s.matMul[format.PanelInt8] = matMulTiles(int8I8MMTiles)
	s.matMul[format.PanelInt4] = matMulTiles(int4I8MMTiles)
	if runtime.GOOS == "darwin" {
		s.matMul = darwinProducts(s.matMul)
	}
	return &s
}

// darwinProducts returns products without multiplications of matrices: the CPUs of Apple take as long for them as for the dot
// products that they replace.
func darwinProducts(products map[format.Encoding]matMulKernel) map[format.Encoding]matMulKernel {
	products = maps.Clone(products)
	products[format.PanelInt8] = matMulTiles(int8DotsI8MMTiles)
	products[format.PanelInt4] = matMulTiles(int4DotProdTiles)
	return products
}
