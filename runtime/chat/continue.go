package chat

import (
	"errors"
	"slices"
	"strings"

	"github.com/tti-llm/tti/runtime/chat/jinja2"
)

var (
	errBothEnds      = errors.New("a conversation with a prompt for an answer has no final message to continue")
	errNoFinal       = errors.New("the final message has no text to continue")
	errFinalNotShown = errors.New("the template does not show the final message's text, so that it cannot be continued")
)

// openFinal returns the messages with a tag behind the text of the last one, as transformers does: behind its content, or
// the last part of it that has a text. It returns the text too.
func openFinal(messages []Message, tag string) ([]Message, string, error) {
	if len(messages) == 0 {
		return nil, "", errNoFinal
	}
	messages = slices.Clone(messages)
	final := slices.Clone(messages[len(messages)-1])
	messages[len(messages)-1] = final
	place := slices.IndexFunc(final, func(f Field) bool { return f.Name == "content" })
	if place < 0 {
		return nil, "", errNoFinal
	}
	switch content := final[place].Value.(type) {
	case string:
		final[place].Value = content + tag
		return messages, content, nil
	case []any:
		parts := slices.Clone(content)
		final[place].Value = parts
		for i, part := range slices.Backward(parts) {
			fields, ok := part.(Object)
			at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == "text" })
			if !ok || at < 0 {
				continue
			}
			text, ok := fields[at].Value.(string)
			if !ok {
				return nil, "", errNoFinal
			}
			fields = slices.Clone(fields)
			fields[at].Value = text + tag
			parts[i] = fields
			return messages, text, nil
		}
	}
	return nil, "", errNoFinal
}

// cutFinal cuts a rendered text behind the final message's text, at the tag. Where the template has cut off white space
// behind the tag, that before it goes too. The mark does not count in comparing.
func cutFinal(rendered, final, tag string, mark rune) (string, error) {
	bare := strings.TrimRight(tag, " ")
	plain := rendered
	if mark != 0 {
		plain = strings.ReplaceAll(rendered, string(mark), "")
	}
	at := strings.LastIndex(rendered, bare)
	if at < 0 || !strings.Contains(plain, strings.TrimFunc(final, jinja2.IsSpace)) {
		return "", errFinalNotShown
	}
	if strings.HasPrefix(rendered[at:], tag) {
		return rendered[:at], nil
	}
	return strings.TrimRightFunc(rendered[:at], func(c rune) bool { return jinja2.IsSpace(c) || mark != 0 && c == mark }), nil
}
