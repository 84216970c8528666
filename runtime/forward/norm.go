package forward

import (
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/kernels"
)

// NormKind is a way to normalize.
type NormKind int

const (
	NoNorm    NormKind = iota // not at all
	LayerNorm                 // by mean and variance
	RMSNorm                   // by the mean square
)

// Norm holds the parameters of a norm.
type Norm struct {
	Kind    NormKind
	Weight  []float32 // the offset has been added to it
	Bias    []float32 // of a LayerNorm
	Epsilon float32

	offset float32 // between the weights in the file and those in use
}

func (n *Norm) load(t architecture.Tensor, source Source) (err error) {
	if t.Bias {
		n.Bias, err = source.Vector(t)
		return err
	}
	n.Weight, err = source.Vector(t)
	if n.offset != 0 {
		for i := range n.Weight {
			n.Weight[i] += n.offset
		}
	}
	return err
}

// apply writes the norms of rows of x, each of the given width, to those of dst, which may be x. Rows begin at multiples
// of the strides.
func (n *Norm) apply(set *kernels.Set, dst []float32, dstStride int, x []float32, xStride, rows, width int) {
	switch n.Kind {
	case LayerNorm:
		set.LayerNorm(dst, dstStride, x, xStride, rows, n.Weight, n.Bias, n.Epsilon)
	case RMSNorm:
		set.RMSNorm(dst, dstStride, x, xStride, rows, n.Weight, n.Epsilon)
	case NoNorm:
		for i := range rows {
			copy(dst[i*dstStride:][:width], x[i*xStride:])
		}
	}
}
