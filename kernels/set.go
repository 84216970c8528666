package kernels

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"strings"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
)

// Environment is the variable that forces a path, by the name of a set.
const Environment = "TTI_KERNELS"

// ErrNoPath is returned for a path that does not exist or that this CPU cannot run.
var ErrNoPath = errors.New("kernels not available")

// ActivationFunction is an elementwise function between the matrices of a feed-forward block.
type ActivationFunction int

const (
	GELUTanh ActivationFunction = iota // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
	GELU                               // x Phi(x)
	ReLU                               // max(x, 0)
	SiLU                               // x / (1 + e^-x)

	activationFunctions = iota // how many there are
)

// Set is one implementation of all kernels. Sets differ in speed only. Its methods check the sizes
// of what they are given, panic where they do not fit, and never keep or allocate anything.
type Set struct {
	name      string
	supported func() bool

	matMul    map[format.Encoding]matMulKernel
	streams   map[format.Encoding]matMulKernel // instead, for weights from memory; those that differ
	quantize  func(codes []int8, scales []float32, sums []int32, x []float32)
	layerNorm func(dst []float32, dstStride int, x []float32, xStride, rows int, weight, bias []float32, epsilon float32)
	rmsNorm   func(dst []float32, dstStride int, x []float32, xStride, rows int, weight []float32, epsilon float32)
	rotate    func(x, cos, sin []float32)
	activate  [activationFunctions]func(x []float32)
	gate      func(f ActivationFunction, gate, up []float32)
	softCap   func(x []float32, limit float32)
	add       func(dst, x []float32)
	scale     func(dst, x []float32, factor float32)
	scores    func(scores []float32, stride int, q []float32, rows int, h *KVHead, first, last int)
	softmax   func(scores []float32, h *KVHead, first, last int) float32
	weigh     func(out []float32, stride int, weights []float32, weightStride int, sums []float32, h *KVHead, rows, first int, ends [queryTile]int, from, to int)
	store     func(h *KVHead, position int, key, value []float32)
	argMax    func(x []float32) (index int, nan bool)
	threshold func(x []float32, k int) float32
	collect   func(indices []int32, x []float32, threshold float32) int
	count     func(x []float32, value float32) (larger, equal int)
	read      func(b []byte) uint64
}

type matMulKernel func(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int)

// reference is the definition of every kernel in plain Go, for every machine.
var reference = Set{
	name:      "go",
	supported: func() bool { return true },
	matMul: map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulF32Reference,
		format.PanelF16:  matMulF16Reference,
		format.PanelInt8: matMulInt8Reference,
		format.PanelInt4: matMulInt4Reference,
	},
	quantize:  quantizeReference,
	layerNorm: layerNormsReference,
	rmsNorm:   rmsNormsReference,
	rotate:    rotateReference,
	activate:  activateReference,
	gate:      gateReference,
	softCap:   softCapReference,
	add:       addReference,
	scale:     scaleReference,
	scores:    scoresReference,
	softmax:   softmaxReference,
	weigh:     weighReference,
	store:     storeReference,
	argMax:    argMaxReference,
	threshold: thresholdReference,
	collect:   collectReference,
	count:     countReference,
	read:      readReference,
}

// Sets returns every set of this architecture that this CPU can run, the fastest first.
func Sets() []*Set {
	var usable []*Set
	for _, s := range sets {
		if s.supported() {
			usable = append(usable, s)
		}
	}
	return usable
}

// Select returns the set of the given name, the fastest one for the empty name. It fails with
// ErrNoPath for a name that is unknown or that this CPU cannot run.
func Select(name string) (*Set, error) {
	if name == "" {
		return Sets()[0], nil
	}
	known := make([]string, 0, len(sets))
	for _, s := range sets {
		if s.name == name {
			if !s.supported() {
				return nil, fmt.Errorf("%w: this CPU cannot run %s", ErrNoPath, name)
			}
			return s, nil
		}
		known = append(known, s.name)
	}
	return nil, fmt.Errorf("%w: %q is unknown, want one of %s", ErrNoPath, name, strings.Join(known, ", "))
}

// FromEnvironment returns the set that the environment variable TTI_KERNELS names, the fastest one
// if it is empty or not set.
func FromEnvironment() (*Set, error) {
	s, err := Select(os.Getenv(Environment))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Environment, err)
	}
	return s, nil
}

// cachedBytes is how many bytes of weights stay in the cache, more or less: a common size of the largest one.
const cachedBytes = 32 << 20

// ForWeights returns the set for a model with so many bytes of weights: those that do not stay in the cache are read in another
// way. The numbers are the same.
func (s *Set) ForWeights(bytes int64) *Set {
	if bytes <= cachedBytes || s.streams == nil {
		return s
	}
	large := *s
	large.matMul, large.streams = maps.Clone(s.matMul), nil
	maps.Copy(large.matMul, s.streams)
	return &large
}

// Name returns the name of the set as TTI_KERNELS takes it.
func (s *Set) Name() string { return s.name }

// MatMul multiplies the panels first <= p < last of w with every token of x and adds the bias:
// out[t*stride+r] = w[r] . x[t] + bias[r] for the 16 rows r of each panel, padding rows included.
// bias holds a value for each padded row. For int8 and int4 weights x must have been quantized.
func (s *Set) MatMul(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	if first < 0 || first > last || last > w.Panels() || x.Columns != w.PaddedColumns() ||
		stride < last*panelRows || len(bias) < last*panelRows || x.Tokens > 0 && len(out) < (x.Tokens-1)*stride+last*panelRows {
		panic(fmt.Sprintf("kernels: panels %d to %d of [%d %d] with input [%d %d], bias %d into %d with stride %d",
			first, last, w.Rows, w.Columns, x.Tokens, x.Columns, len(bias), len(out), stride))
	}
	if x.Tokens == 0 || first == last {
		return
	}
	s.matMul[w.Encoding](out, stride, w, x, bias, first, last)
}

// Quantize quantizes the values of tokens first <= t < last of x, see quantizeReference.
func (s *Set) Quantize(x *Activations, first, last int) {
	groups := x.Columns / groupColumns
	s.quantize(x.Codes[first*x.Columns:last*x.Columns], x.Scales[first*groups:last*groups], x.Sums[first*groups:last*groups],
		x.Values[first*x.Columns:last*x.Columns])
}

// QuantizeColumns quantizes those groups of every token of x that columns first <= k < last lie in. first
// begins a group.
func (s *Set) QuantizeColumns(x *Activations, first, last int) {
	if first == last {
		return
	}
	groups := x.Columns / groupColumns
	from, to := first/groupColumns, (last+groupColumns-1)/groupColumns
	for t := range x.Tokens {
		row := t * groups
		s.quantize(x.Codes[(row+from)*groupColumns:(row+to)*groupColumns], x.Scales[row+from:row+to], x.Sums[row+from:row+to],
			x.Values[(row+from)*groupColumns:(row+to)*groupColumns])
	}
}

// LayerNorm writes the layer norms of rows of x to those of dst. Each has the length of weight and bias, which is
// one; they begin at multiples of the strides.
func (s *Set) LayerNorm(dst []float32, dstStride int, x []float32, xStride, rows int, weight, bias []float32, epsilon float32) {
	n := len(weight)
	if rows == 0 || n == 0 {
		return
	}
	if len(bias) != n || rows < 0 || rows > 1 && min(dstStride, xStride) < n || len(dst) < (rows-1)*dstStride+n || len(x) < (rows-1)*xStride+n {
		panic(fmt.Sprintf("kernels: layer norm of %d rows of %d with a bias of %d, from %d with stride %d to %d with stride %d",
			rows, n, len(bias), len(x), xStride, len(dst), dstStride))
	}
	s.layerNorm(dst, dstStride, x, xStride, rows, weight, bias, epsilon)
}

// RMSNorm writes weight*x/sqrt(mean of the squares of x + epsilon) of rows of x to those of dst, which may be x. Each has
// the length of weight; they begin at multiples of the strides.
func (s *Set) RMSNorm(dst []float32, dstStride int, x []float32, xStride, rows int, weight []float32, epsilon float32) {
	n := len(weight)
	if rows == 0 || n == 0 {
		return
	}
	if rows < 0 || rows > 1 && min(dstStride, xStride) < n || len(dst) < (rows-1)*dstStride+n || len(x) < (rows-1)*xStride+n {
		panic(fmt.Sprintf("kernels: RMS norm of %d rows of %d, from %d with stride %d to %d with stride %d",
			rows, n, len(x), xStride, len(dst), dstStride))
	}
	s.rmsNorm(dst, dstStride, x, xStride, rows, weight, epsilon)
}

// Rotate turns the pairs (x[i], x[half+i]) of a head by the angles whose cosines and sines are given, half of each. What
// follows the 2*half values stays as it is.
func (s *Set) Rotate(x, cos, sin []float32) {
	if len(cos) != len(sin) || len(x) < 2*len(cos) {
		panic(fmt.Sprintf("kernels: rotation of a head of %d by %d cosines and %d sines", len(x), len(cos), len(sin)))
	}
	s.rotate(x, cos, sin)
}

// Activate applies f to every element of x.
func (s *Set) Activate(f ActivationFunction, x []float32) { s.activate[f](x) }

// Gate replaces each element of gate by f of it times the element of up, which has at least its length.
func (s *Set) Gate(f ActivationFunction, gate, up []float32) { s.gate(f, gate, up[:len(gate)]) }

// SoftCap replaces each element of x by limit*tanh(x/limit), see softCapReference. The limit is positive and finite.
func (s *Set) SoftCap(x []float32, limit float32) {
	if !(limit > 0 && limit <= math.MaxFloat32) {
		panic(fmt.Sprintf("kernels: a soft cap of %v", limit))
	}
	s.softCap(x, limit)
}

// Add adds x to dst, which has at least its length.
func (s *Set) Add(dst, x []float32) { s.add(dst[:len(x)], x) }

// Scale writes x times the factor to dst, which has at least its length.
func (s *Set) Scale(dst, x []float32, factor float32) { s.scale(dst[:len(x)], x, factor) }

// Store writes the key and value of one position, which have the head's own width. A page for it must be there.
func (s *Set) Store(h *KVHead, position int, key, value []float32) {
	if position < 0 || position >= h.capacity() || len(key) > h.Width || len(key) == 0 || len(key) != len(value) {
		panic(fmt.Sprintf("kernels: key of %d and value of %d dimensions for position %d of a cache of %d positions, head %d",
			len(key), len(value), position, h.capacity(), h.Width))
	}
	s.store(h, position, key, value)
}

// ArgMax returns the index of the first of the largest elements of x, NaN left out, and whether
// there is a NaN. The index is 0 if there is nothing but NaN.
func (s *Set) ArgMax(x []float32) (index int, nan bool) {
	if len(x) == 0 {
		panic("kernels: the maximum of nothing")
	}
	return s.argMax(x)
}

// MaxThreshold is the largest number of elements that Threshold can be asked for.
const MaxThreshold = 128

// Threshold returns a number that at least k elements of x reach, and not many more: a bound for a search for
// the k largest. There must be that many, k is from 1 to MaxThreshold, and x holds no NaN.
func (s *Set) Threshold(x []float32, k int) float32 {
	if k < 1 || k > min(MaxThreshold, len(x)) {
		panic(fmt.Sprintf("kernels: a threshold for %d of %d elements", k, len(x)))
	}
	return s.threshold(x, k)
}

// Collect writes the indices of the elements of x that are at least the threshold, in ascending order, and
// returns how many there are. indices has room for CollectSpace(len(x)); what it holds behind that number is
// undefined.
func (s *Set) Collect(indices []int32, x []float32, threshold float32) int {
	if len(indices) < CollectSpace(len(x)) {
		panic(fmt.Sprintf("kernels: room for %d indices of %d elements", len(indices), len(x)))
	}
	return s.collect(indices, x, threshold)
}

// CollectSpace returns the room that Collect needs for n elements: implementations write whole blocks.
func CollectSpace(n int) int { return n + collectBlock }

const collectBlock = 16

// Count returns how many elements of x are larger than a value and how many equal to it.
func (s *Set) Count(x []float32, value float32) (larger, equal int) { return s.count(x, value) }

// Read reads b once, as fast as the memory gives it, and returns the exclusive or of its 8-byte
// words, the last one filled up with zeros.
func (s *Set) Read(b []byte) uint64 { return s.read(b) }

// PanelTile is the number of panels that the fastest implementations of MatMul take together. Work
// is best shared out in multiples of it.
const PanelTile = 8
