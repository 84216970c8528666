package bpe

import (
	"fmt"
	"strings"
)

// characterOf has the characters of GPT-2's byte alphabet, in which tokens are spelled in the files
// (Radford et al., encoder.py, bytes_to_unicode). Printable characters of Latin-1 stand for
// themselves; the other bytes, in ascending order, are written as the characters from U+0100 on.
var characterOf = func() (characters [256]rune) {
	beyond := rune(0x100)
	for b := range characters {
		if r := rune(b); '!' <= r && r <= '~' || '¡' <= r && r <= '¬' || '®' <= r && r <= 'ÿ' {
			characters[b] = r
			continue
		}
		characters[b] = beyond
		beyond++
	}
	return characters
}()

// byteOf is the inverse of characterOf.
var byteOf = func() map[rune]byte {
	bytes := make(map[rune]byte, len(characterOf))
	for b, r := range characterOf {
		bytes[r] = byte(b)
	}
	return bytes
}()

// Spell returns bytes in the byte alphabet.
func Spell(bytes string) string {
	var text strings.Builder
	for _, b := range []byte(bytes) {
		text.WriteRune(characterOf[b])
	}
	return text.String()
}

// unspell returns the bytes of a token that is spelled in the byte alphabet.
func unspell(token string) (string, error) {
	var bytes strings.Builder
	for _, r := range token {
		b, ok := byteOf[r]
		if !ok {
			return "", fmt.Errorf("%q: %q is not in the byte alphabet", token, r)
		}
		bytes.WriteByte(b)
	}
	return bytes.String(), nil
}
