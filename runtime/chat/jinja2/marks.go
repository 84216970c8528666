package jinja2

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// Text that is not the template's own is marked: a reserved character stands before it and behind each character that
// could begin a control token (Environment.Break says where). No operation of a template sees the marks: lengths, searches
// and cuts are those of the text without them. And none gets rid of them: a piece cut out of marked text begins with a
// mark again, and text made anew from marked text is marked anew.

// plain returns a text without marks.
func (r *rendering) plain(s string) string {
	if r.mark == "" || !strings.Contains(s, r.mark) {
		return s
	}
	return strings.ReplaceAll(s, r.mark, "")
}

func (r *rendering) marked(s string) bool { return r.mark != "" && strings.Contains(s, r.mark) }

// broken marks a text that was made anew.
func (r *rendering) broken(s string) string { return r.environment.Break(s) }

// anew returns a text made from others, marked if any of them was.
func (r *rendering) anew(s string, from ...string) string {
	if slices.ContainsFunc(from, r.marked) {
		return r.broken(r.plain(s))
	}
	return s
}

// cutter cuts pieces out of a text, by positions in the text without marks.
type cutter struct {
	*rendering
	text, plain string
	marks       []int // positions in plain before which a mark stands
}

func (r *rendering) cutter(s string) cutter {
	c := cutter{rendering: r, text: s, plain: r.plain(s)}
	if len(c.plain) == len(s) {
		return c
	}
	for at, passed := 0, 0; ; passed++ {
		next := strings.Index(s[at:], r.mark)
		if next < 0 {
			return c
		}
		at += next
		c.marks = append(c.marks, at-passed*len(r.mark))
		at += len(r.mark)
	}
}

// cut returns the text between two positions with its marks: those at either end too.
func (c cutter) cut(from, to int) string {
	if len(c.marks) == 0 || from >= to {
		return c.plain[from:max(from, to)]
	}
	first, _ := slices.BinarySearch(c.marks, from)
	last, _ := slices.BinarySearch(c.marks, to+1)
	piece := c.text[from+first*len(c.mark) : to+last*len(c.mark)]
	if !strings.HasPrefix(piece, c.mark) {
		piece = c.mark + piece
	}
	return piece
}

// trim cuts off characters at the ends.
func (r *rendering) trim(s string, left, right bool, in func(rune) bool) string {
	c := r.cutter(s)
	from, to := 0, len(c.plain)
	if left {
		from = to - len(strings.TrimLeftFunc(c.plain, in))
	}
	if right {
		to = from + len(strings.TrimRightFunc(c.plain[from:], in))
	}
	return c.cut(from, to)
}

// split cuts at a separator, at most limit times from the left, or from the right; -1 is no limit.
func (r *rendering) split(s, separator string, limit int, right bool) []string {
	c := r.cutter(s)
	separator = r.plain(separator)
	var cuts []int
	if right {
		for rest := c.plain; limit != 0; limit-- {
			at := strings.LastIndex(rest, separator)
			if at < 0 {
				break
			}
			cuts = append(cuts, at)
			rest = rest[:at]
		}
		slices.Reverse(cuts)
	} else {
		for at := 0; limit != 0; limit-- {
			next := strings.Index(c.plain[at:], separator)
			if next < 0 {
				break
			}
			cuts = append(cuts, at+next)
			at += next + len(separator)
		}
	}
	pieces, from := make([]string, 0, len(cuts)+1), 0
	for _, at := range cuts {
		pieces = append(pieces, c.cut(from, at))
		from = at + len(separator)
	}
	return append(pieces, c.cut(from, len(c.plain)))
}

// fields cuts at runs of white space, at most limit times from the left, or from the right.
func (r *rendering) fields(s string, limit int, right bool) []string {
	c := r.cutter(s)
	var spans [][2]int
	start := -1
	for at, char := range c.plain {
		switch space := IsSpace(char); {
		case !space && start < 0:
			start = at
		case space && start >= 0:
			spans = append(spans, [2]int{start, at})
			start = -1
		}
	}
	if start >= 0 {
		spans = append(spans, [2]int{start, len(c.plain)})
	}
	if limit >= 0 && len(spans) > limit {
		if right {
			rest := len(spans) - limit
			spans = slices.Concat([][2]int{{0, spans[rest-1][1]}}, spans[rest:])
		} else {
			spans = append(spans[:limit:limit], [2]int{spans[limit][0], len(c.plain)})
		}
	}
	pieces := make([]string, len(spans))
	for i, span := range spans {
		pieces[i] = c.cut(span[0], span[1])
	}
	return pieces
}

// replace puts a text in place of another, at most limit times.
func (r *rendering) replace(s, old, with string, limit int) string {
	if old = r.plain(old); old == "" {
		return r.anew(strings.Replace(r.plain(s), old, with, limit), s, with)
	}
	return strings.Join(r.split(s, old, limit, false), with)
}

// characters returns the characters of a text, each a text.
func (r *rendering) characters(s string) ([]jinja.Value, error) {
	c := r.cutter(s)
	if err := r.makeItems(utf8.RuneCountInString(c.plain)); err != nil {
		return nil, err
	}
	var items []jinja.Value
	for at, char := range c.plain {
		items = append(items, jinja.NewString(c.cut(at, at+utf8.RuneLen(char))))
	}
	return items, nil
}
