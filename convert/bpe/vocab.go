package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// readVocab reads vocab.json: an object of ids by token.
func (l *loader) readVocab() error {
	const name = "vocab.json"
	data, err := l.files.contents(name)
	if err != nil {
		return err
	}
	l.names.tokens = name
	if l.tokens, err = parseIDs(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parseIDs reads an object of ids by token. It reads it piece by piece because json.Unmarshal
// passes over keys that appear twice.
func parseIDs(data []byte) (map[string]int, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	next := func() (json.Token, error) {
		token, err := decoder.Token()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return token, err
	}
	switch start, err := next(); {
	case err != nil:
		return nil, fmt.Errorf("not an object of ids by token: %w", err)
	case start != json.Delim('{'):
		return nil, errors.New("not an object of ids by token")
	}
	ids := make(map[string]int)
	for decoder.More() {
		key, err := next()
		if err != nil {
			return nil, err
		}
		token := key.(string) // the decoder takes no other key
		value, err := next()
		if err != nil {
			return nil, err
		}
		number, _ := value.(json.Number)
		id, err := parseID(number)
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", token, err)
		}
		if _, repeated := ids[token]; repeated {
			return nil, fmt.Errorf("token %q appears twice", token)
		}
		if token == "" {
			return nil, fmt.Errorf("token %d is empty", id)
		}
		if len(ids) == maxEntries {
			return nil, fmt.Errorf("more than %d tokens", maxEntries)
		}
		ids[token] = id
	}
	if _, err := next(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return ids, nil
}

func parseID(number json.Number) (int, error) {
	id, err := strconv.Atoi(string(number))
	if err != nil || id < 0 || id >= math.MaxInt32 {
		return 0, fmt.Errorf("id %q is not a number from 0 to 2147483646", string(number))
	}
	return id, nil
}

// readMerges reads merges.txt: a version line, which may be missing, then two tokens on each line.
func (l *loader) readMerges() error {
	const name = "merges.txt"
	data, err := l.files.contents(name)
	if err != nil {
		return err
	}
	l.names.merge = name + ": line"
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
		if len(l.merges) == maxEntries {
			return fmt.Errorf("%s: more than %d merges", name, maxEntries)
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
