package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
)

// tokenizerParts is what inspect tells of a tokenizer.
type tokenizerParts struct {
	Version  int                  `json:"version"` // of the section
	Tokens   int                  `json:"tokens"`
	Merges   int                  `json:"merges"`
	Added    int                  `json:"added_tokens"`
	Control  int                  `json:"control_tokens"`
	Settings *vocabulary.Settings `json:"settings"`
}

// inspectTokenizer reads the tokenizer's section.
func inspectTokenizer(file container) (*tokenizerParts, error) {
	section, content, err := tokenizerSection(file)
	if content == nil {
		return nil, err
	}
	view, err := vocabulary.Open(content)
	if err != nil {
		return nil, fmt.Errorf("%s: section %s: %w", file.Path(), section.Name, err)
	}
	parts := &tokenizerParts{
		Version: view.Version(), Tokens: view.Tokens(), Merges: view.Merges(), Added: len(view.Added), Settings: &view.Settings,
	}
	for _, a := range view.Added {
		if a.Control {
			parts.Control++
		}
	}
	return parts, nil
}

// lines returns the rows of a human reader.
func (p *tokenizerParts) lines() (lines [][2]string) {
	if p == nil {
		return nil
	}
	s := p.Settings
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	add("tokenizer", fmt.Sprintf("%s tokens, %s merges, %s added tokens, %s of them control tokens",
		grouped(int64(p.Tokens)), grouped(int64(p.Merges)), grouped(int64(p.Added)), grouped(int64(p.Control))))
	add("normalizer", steps(s.Normalizer))
	add("pre-tokenizer", steps(s.PreTokenizer))
	add("decoder", steps(s.Decoder))
	var rules []string
	for _, rule := range []struct {
		name string
		set  bool
	}{{"ignore merges", s.IgnoreMerges}, {"byte fallback", s.ByteFallback}, {"fuse unknown", s.FuseUnknown}} {
		if rule.set {
			rules = append(rules, rule.name)
		}
	}
	add("merges", strings.Join(rules, ", "))
	for _, list := range []struct {
		name string
		ids  []int32
	}{{"before a text", s.Prefix}, {"after a text", s.Suffix}, {"ends a text", s.End}} {
		add(list.name, strings.Trim(fmt.Sprint(list.ids), "[]"))
	}
	var templates []string
	for _, name := range slices.Sorted(maps.Keys(s.Templates)) {
		templates = append(templates, fmt.Sprintf("%s (%s bytes)", name, grouped(int64(len(s.Templates[name])))))
	}
	add("chat templates", strings.Join(templates, ", "))
	return lines
}

// steps names the steps of a list, with what they go by.
func steps(list []vocabulary.Step) string {
	var names []string
	for _, s := range list {
		name := s.Type
		for _, detail := range []string{s.Pattern, s.Scheme} {
			if detail != "" {
				name += " " + detail
			}
		}
		if s.Text != "" {
			name += fmt.Sprintf(" %q", s.Text)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

var errNoTemplate = errors.New("the file has no chat template")

func (i inspection) writeTemplate(w io.Writer) error {
	if i.Tokenizer == nil || i.Tokenizer.Settings.Templates == nil {
		return fmt.Errorf("%s: %w", i.File, errNoTemplate)
	}
	return write(w, i.Tokenizer.Settings.Templates[vocabulary.DefaultTemplate])
}
