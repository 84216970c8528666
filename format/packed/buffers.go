package packed

// buffers are what one frame in flight needs.
type buffers struct {
	packed, content []byte
}

// bufferPool keeps the buffers of frames that are done for those to come.
type bufferPool chan *buffers

func newBufferPool(workers int) bufferPool { return make(bufferPool, 2*workers+1) }

func (p bufferPool) get() *buffers {
	select {
	case b := <-p:
		return b
	default:
		return &buffers{}
	}
}

func (p bufferPool) put(b *buffers) {
	select {
	case p <- b:
	default:
	}
}

// grow returns n bytes, those of b if it has as many.
func grow(b []byte, n uint32) []byte {
	if uint64(cap(b)) < uint64(n) {
		b = make([]byte, n)
	}
	return b[:n]
}
