package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// tokenizeFlags are the flags of tokenize.
type tokenizeFlags struct {
	decode, special, chat, json bool
	escapes                     escapesFlag
	modes                       modeFlags
}

func newTokenize() *cobra.Command {
	var flags tokenizeFlags
	cmd := &cobra.Command{
		Use:   "tokenize MODEL [TEXT | ID...]",
		Short: "Turn text into token ids, or back",
		Long: `Print the ids of TEXT's tokens in one line; with --decode, print the bytes that ids stand for, exactly but for
control characters on a terminal. Nothing is put around TEXT, and what spells a control token in it is text unless
--special is given.

With --chat, TEXT is a conversation, a JSON list of messages such as [{"role":"user","content":"Hello"}]: what is
printed is what the model reads by its chat template, up to where its answer begins.

Without TEXT, or with -, standard input is read to its end, every byte of it.` + hubHelp,
		Example: `  tti tokenize fable.tti "Once upon a time"
  tti tokenize fable.tti < story.txt
  tti tokenize fable.tti --decode 1435,323 705 258 508
  tti tokenize llama.tti --json --chat '[{"role":"user","content":"Hello"}]'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 && !flags.decode {
				return fmt.Errorf("%d arguments given, want MODEL and perhaps TEXT", len(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd); err != nil {
				return err
			}
			var path string
			err := interruptible(cmd.Context(), func(ctx context.Context) (err error) {
				path, err = flags.modes.file(ctx, cmd, args[0])
				return err
			}, os.Interrupt, syscall.SIGTERM)
			if err != nil {
				return err
			}
			model, err := openModel(path, runtime.WithThreads(runtime.NewThreads(1)))
			if err != nil {
				return err
			}
			defer model.Close()
			input := strings.Join(args[1:], " ")
			if len(args) == 1 || input == "-" {
				if input, err = readInput(cmd.InOrStdin()); err != nil {
					return err
				}
			}
			return flags.run(cmd, model.Tokenizer(), input)
		},
	}
	set := cmd.Flags()
	set.BoolVar(&flags.decode, "decode", false, "turn ids, separated by white space or commas, back into text")
	set.BoolVar(&flags.special, "special", false, "turn text such as <|endoftext|> into the control token it names")
	set.BoolVar(&flags.chat, "chat", false, "turn a conversation, a JSON list of messages, into what the model reads")
	set.BoolVar(&flags.json, "json", false, "print one JSON object: the text, the ids, and each token's piece of the text")
	flags.escapes.register(cmd)
	flags.modes.registerHub(cmd)
	return cmd
}

func (f *tokenizeFlags) check(cmd *cobra.Command) error {
	switch {
	case f.decode && f.special:
		return usagef(cmd, "--special is for encoding and --decode is given")
	case f.decode && f.chat:
		return usagef(cmd, "--chat is for encoding and --decode is given")
	case f.chat && f.special:
		return usagef(cmd, "--special is for plain text; a conversation's control tokens are its template's")
	}
	return nil
}

func (f *tokenizeFlags) run(cmd *cobra.Command, t *tokenizer.Tokenizer, input string) error {
	ids, err := f.ids(t, input)
	if err != nil {
		return err
	}
	stdout := cmd.OutOrStdout()
	switch {
	case f.json:
		found, err := tokenize(t, ids)
		if err != nil {
			return err
		}
		return writeJSON(stdout, found)
	case f.decode:
		text, err := t.Decode(ids)
		if err != nil {
			return err
		}
		return write(stdout, f.escapes.text(text, stdout))
	}
	return write(stdout, strings.Trim(fmt.Sprint(ids), "[]")+"\n")
}

// ids returns what the input stands for.
func (f *tokenizeFlags) ids(t *tokenizer.Tokenizer, input string) ([]int32, error) {
	switch {
	case f.decode:
		return parseIDs(input)
	case f.chat:
		return encodeChat(t, input)
	}
	return encode(t, input, f.special)
}

// encodeChat returns what a model reads of a conversation, up to its answer.
func encodeChat(t *tokenizer.Tokenizer, input string) ([]int32, error) {
	template, err := chat.FromTokenizer(t)
	if err != nil {
		return nil, err
	}
	var messages []chat.Message
	if err := json.Unmarshal([]byte(input), &messages); err != nil {
		return nil, fmt.Errorf(`the conversation is not a JSON list of messages such as [{"role":"user","content":"Hello"}]: %w`, plainJSON(err))
	}
	return template.Encode(t, messages, chat.Options{AddGenerationPrompt: true})
}

// tokenized is the object of tokenize --json.
type tokenized struct {
	Text   string     `json:"text"` // what the ids decode to
	IDs    []int32    `json:"ids"`
	Tokens []tokenRow `json:"tokens"`
}

// tokenRow is a token and its piece of the text. A character may be spread over several tokens: then U+FFFD stands for its
// parts, and only the offsets are exact.
type tokenRow struct {
	ID      int32  `json:"id"`
	Text    string `json:"text"`
	Start   int    `json:"start"` // in bytes of the text
	End     int    `json:"end"`
	Control bool   `json:"control,omitempty"`
}

func tokenize(t *tokenizer.Tokenizer, ids []int32) (tokenized, error) {
	text, ends, err := t.Pieces(ids)
	if err != nil {
		return tokenized{}, err
	}
	found := tokenized{Text: text, IDs: slices.Concat([]int32{}, ids), Tokens: []tokenRow{}}
	start := 0
	for i, end := range ends {
		found.Tokens = append(found.Tokens, tokenRow{ids[i], text[start:end], start, end, t.IsControl(ids[i])})
		start = end
	}
	return found, nil
}

// encode returns the ids of a text, with control tokens or without.
func encode(t *tokenizer.Tokenizer, text string, special bool) ([]int32, error) {
	if special {
		return t.EncodeSpecial(text)
	}
	return t.Encode(text)
}

func parseIDs(text string) ([]int32, error) {
	var ids []int32
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, ",", " ")) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("token id %.40q: want a whole number", word)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}
