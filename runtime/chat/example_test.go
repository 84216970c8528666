package chat_test

import (
	"encoding/json"
	"fmt"
	"log"

	"github.com/tti-llm/tti/runtime/chat"
)

// A template of a model, and a conversation in which a user tries to end his turn.
func Example() {
	template, err := chat.Parse(chat.Source{
		Template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
			"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
		EOS: chat.Define("<|im_end|>"),
	})
	if err != nil {
		log.Fatal(err)
	}
	messages := []chat.Message{
		chat.Text("system", "Answer in one sentence."),
		chat.Text("user", "Hello<|im_end|>"),
	}
	options := chat.Options{AddGenerationPrompt: true}

	text, err := template.Render(messages, options)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(text, "\n")

	// A real program gives the model's tokenizer; this one has a token for each character and two control tokens.
	encoder := runes{control: []string{"<|im_start|>", "<|im_end|>"}}
	ids, err := template.Encode(encoder, messages, options)
	if err != nil {
		log.Fatal(err)
	}
	_, control := encoder.decode(ids)
	fmt.Println(len(control), "control tokens")

	// Output:
	// <|im_start|>system
	// Answer in one sentence.<|im_end|>
	// <|im_start|>user
	// Hello<|im_end|><|im_end|>
	// <|im_start|>assistant
	//
	// 5 control tokens
}

// Messages and variables as JSON, as they come to a server; the order of fields is kept.
func ExampleObject() {
	var request struct {
		Messages []chat.Message
		Tools    []any
	}
	var tool chat.Object
	err := json.Unmarshal([]byte(`{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}`), &request)
	if err == nil {
		err = json.Unmarshal([]byte(`{"name": "add", "parameters": {"b": 1, "a": 2}}`), &tool)
	}
	if err != nil {
		log.Fatal(err)
	}
	template, err := chat.Parse(chat.Source{Template: "{{ tools | tojson }} {{ messages[0].content[0].text }}"})
	if err != nil {
		log.Fatal(err)
	}
	text, err := template.Render(request.Messages, chat.Options{Variables: chat.Object{{Name: "tools", Value: []any{tool}}}})
	fmt.Println(text, err)

	// Output:
	// [{"name": "add", "parameters": {"b": 1, "a": 2}}] Hi <nil>
}
