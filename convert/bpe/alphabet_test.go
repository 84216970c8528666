package bpe_test

import (
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
)

// TestSpell compares with the vocabulary that GPT-2 was published with: its first 256 ids are the
// alphabet, in the order of the characters.
func TestSpell(t *testing.T) {
	symbols := make([]string, 256)
	for b := range symbols {
		symbols[b] = bpe.Spell(string([]byte{byte(b)}))
	}
	slices.Sort(symbols)
	for id, symbol := range symbols {
		if got, ok := published()[symbol]; !ok || got != id {
			t.Errorf("%q is the character of id %d, want %d", symbol, got, id)
		}
	}
	if got := bpe.Spell(" é\n"); got != "ĠÃ©Ċ" {
		t.Errorf("%q", got)
	}
}
