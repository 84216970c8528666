package runtime

// WithKVPages sets the number of positions of a page of the KV cache.
func WithKVPages(positions int) Option { return func(s *settings) { s.kvPage = positions } }
