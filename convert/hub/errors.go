package hub

import "errors"

// What callers may want to tell apart. Every error of this package names the repository, and the file
// where one is concerned, and wraps one of these where it applies.
var (
	// ErrNotFound: the repository, the revision or a file that a model cannot do without does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the hub wants a token, or one with more rights. It gives the same answer for a
	// repository that does not exist, so as not to tell which private ones do.
	ErrUnauthorized = errors.New("not authorized")
	// ErrOffline: the network is switched off, and the cache does not hold the whole model.
	ErrOffline = errors.New("offline and not in the cache")
	// ErrNoSafetensors: the repository holds no weights in safetensors format.
	ErrNoSafetensors = errors.New("no safetensors weights")
	// ErrMismatch: what arrived is not what was announced: another size, digest, range or commit.
	ErrMismatch = errors.New("download does not match what the hub announced")
	// ErrTooLarge: a listing or a file other than weights is larger than any that is known.
	ErrTooLarge = errors.New("too large")
	// ErrAddress: an address is not that of a model's page.
	ErrAddress = errors.New("not the address of a model on the hub")
	// ErrUnsafeName: a server or a weight map named a file outside the repository.
	ErrUnsafeName = errors.New("unsafe file name")
)
