package bench

import (
	"fmt"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

// Prompts are beginnings of texts of different kinds, for who has none: stories, plain prose, talk, a
// list, and two that repeat themselves. Any model can go on from them, well or badly.
var Prompts = []string{
	"Once upon a time there was a king who had three sons, and the youngest of them",
	"The weather had been bad for a week. On the eighth day,",
	"\"Where have you been?\" asked the old woman. \"I have been",
	"There are three things that everybody should know about the sea. The first is",
	"In the morning the wolf came to the door and knocked. At noon the fox came to the door and knocked. In the evening",
	"One man had one horse, two men had two horses, three men had three horses,",
}

// Encode returns the tokens of every prompt.
func Encode(t *tokenizer.Tokenizer, prompts []string) ([][]int32, error) {
	var all [][]int32
	for i, prompt := range prompts {
		ids, err := t.EncodePrompt(prompt)
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i+1, err)
		}
		all = append(all, ids)
	}
	return all, nil
}
