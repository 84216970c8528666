package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// readVocab reads vocab.json: an object of ids by token.
func (l *loader) readVocab() error {
	const name = "vocab.json"
	var data json.RawMessage
	if err := l.files.parse(name, &data); err != nil {
		return err
	}
	var err error
	if l.tokens, err = parseIDs(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parseIDs reads an object of ids by token, which has been checked to have each token once. It goes through it
// token by token, so that an error is about the first that is wrong.
func parseIDs(data []byte) (map[string]int, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not an object of ids by token")
	}
	ids := make(map[string]int)
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		token := key.(string) // the decoder takes no other key
		value, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		number, _ := value.(json.Number)
		id, err := parseID(string(number))
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", token, err)
		}
		if token == "" {
			return nil, fmt.Errorf("token %d is empty", id)
		}
		ids[token] = id
	}
	return ids, nil
}

func parseID(number string) (int, error) {
	id, err := strconv.Atoi(number)
	if err != nil || id < 0 || id >= math.MaxInt32 {
		return 0, fmt.Errorf("id %q is not a number from 0 to 2147483646", number)
	}
	return id, nil
}

// maxMerges is as many as a list in JSON may have entries. The largest vocabularies have 520,000.
const maxMerges = 1 << 20

// readMerges reads merges.txt: a version line, which may be missing, then two tokens on each line.
func (l *loader) readMerges() error {
	const name = "merges.txt"
	data, err := l.files.contents(name)
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(data), "\r\n")
	line := 0
	for text := range strings.SplitSeq(text, "\n") {
		line++
		text = strings.TrimSuffix(text, "\r")
		if line == 1 && (text == "" || strings.HasPrefix(text, "#version")) {
			continue
		}
		rule, ok := splitRule(text)
		if !ok {
			return fmt.Errorf("%s: line %d: %q is not two tokens", name, line, text)
		}
		if len(l.merges) == maxMerges {
			return fmt.Errorf("%s: more than %d merges", name, maxMerges)
		}
		rule.line = line
		l.merges = append(l.merges, rule)
	}
	return nil
}

// splitRule splits a merge at its only space.
func splitRule(text string) (rule, bool) {
	left, right, _ := strings.Cut(text, " ")
	return rule{left: left, right: right}, left != "" && right != "" && !strings.Contains(right, " ")
}
