package generation

import "testing"

// TestNoiseIsSplitMix64: the noise of the tokens at a position is the stream of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014), of
// which these are the first numbers for the state 1234567. Seeds mean the same texts for ever.
func TestNoiseIsSplitMix64(t *testing.T) {
	n := noise{key: 1234567}
	for token, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := n.random(int32(token)); got != want {
			t.Errorf("token %d: %d, want %d", token, got, want)
		}
	}
	// The state of a position is the stream's number of that state again, once more mixed with the position.
	if got, want := newNoise(1234567, 0).key, mix(6457827717110365317); got != want {
		t.Errorf("state at position 0: %d, want %d", got, want)
	}
}
