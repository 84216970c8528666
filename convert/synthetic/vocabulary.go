package synthetic

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tti-llm/tti/convert/bpe"
)

const (
	byteTokens = 256
	endOfText  = "<|endoftext|>"
	letters    = "abcdefghijklmnopqrstuvwxyz"
)

// writeVocabulary writes a byte-level vocabulary of the given size: GPT-2's 256 byte tokens in its
// order, one token for each merge, and the end of text. The merges spell every word of letters, alone
// or after a space, shorter ones first, by adding one letter to a word that is there already.
func writeVocabulary(directory string, size int) error {
	symbols := byteSymbols()
	ids := make(map[string]int, size)
	for id, symbol := range symbols {
		ids[symbol] = id
	}
	merges, err := os.Create(filepath.Join(directory, "merges.txt"))
	if err != nil {
		return err
	}
	defer merges.Close()
	w := bufio.NewWriter(merges)
	fmt.Fprintln(w, "#version: 0.2")

	words := []string{"Ġ"} // the symbol of a space
	for _, letter := range letters {
		words = append(words, string(letter))
	}
grow:
	for i := 0; ; i++ {
		for _, letter := range letters {
			if len(ids) == size-1 {
				break grow
			}
			word := words[i] + string(letter)
			fmt.Fprintf(w, "%s %c\n", words[i], letter)
			ids[word] = len(ids)
			words = append(words, word)
		}
	}
	ids[endOfText] = len(ids)

	if err := w.Flush(); err != nil {
		return err
	}
	if err := merges.Close(); err != nil {
		return err
	}
	return writeJSON(filepath.Join(directory, "vocab.json"), ids)
}

// byteSymbols returns the symbol of every byte in the order of GPT-2's ids, which is that of the
// characters.
func byteSymbols() []string {
	symbols := make([]string, byteTokens)
	for b := range symbols {
		symbols[b] = bpe.Spell(string([]byte{byte(b)}))
	}
	slices.Sort(symbols)
	return symbols
}
