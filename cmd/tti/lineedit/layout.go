package lineedit

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

// TabWidth is the distance of a terminal's tab stops.
const TabWidth = 8

// row is what stands in one row of a window.
type row struct {
	text    string
	columns int
	wrapped bool // the terminal goes on in the next row by itself
}

// place is a cell of a window.
type place struct{ row, column int }

// lay breaks a text into rows as a terminal does, and tells where each character stands, and what comes after the last one. No place is behind
// the last column: a full row is followed by another.
func lay(text []string, width int) (rows []row, places []place) {
	var current row
	next := func(wrapped bool) {
		if current.wrapped = wrapped; current.columns == 0 && len(rows) > 0 && rows[len(rows)-1].wrapped {
			current.columns = 1 // the space by which draw has the terminal wrap
		}
		rows = append(rows, current)
		current = row{}
	}
	for _, character := range text {
		shown, columns := character, runewidth.StringWidth(character)
		if current.columns > 0 && current.columns+max(1, columns) > width {
			next(true)
		}
		switch character {
		case "\n":
			shown, columns = "", 0
		case "\t":
			columns = min(TabWidth-current.columns%TabWidth, width-current.columns)
			shown = strings.Repeat(" ", columns)
		}
		places = append(places, place{len(rows), current.columns})
		current.text += shown
		current.columns += columns
		if character == "\n" {
			next(false)
		}
	}
	if current.columns >= width {
		next(true)
	}
	places = append(places, place{len(rows), current.columns})
	next(false)
	return rows, places
}

// view is what stands in a window, whose width it was made for.
type view struct {
	rows   []row
	cursor place
	width  int
}

// newView returns what a window shows of a text: all of it, or as many rows around the cursor as it may take, at least 3, the first and last of which
// count those that are hidden.
func newView(text []string, cursor, width, most int) view {
	rows, places := lay(text, width)
	v := view{rows, places[cursor], width}
	if len(rows) <= most {
		return v
	}
	top := min(max(0, v.cursor.row-most/2), len(rows)-most)
	v.rows = append([]row{}, rows[top:top+most]...)
	v.cursor.row -= top
	if top > 0 {
		v.rows[0] = note(width, "[%d rows above]", top+1)
	}
	if below := len(rows) - top - most; below > 0 {
		v.rows[most-1] = note(width, "[%d rows below]", below+1)
		v.rows[most-2].wrapped = false
	}
	v.rows[most-1].wrapped = false
	return v
}

// note returns a row that is no part of the text.
func note(width int, text string, values ...any) row {
	text = runewidth.Truncate(fmt.Sprintf(text, values...), width-1, "")
	return row{text: text, columns: len(text)}
}

// above returns how many rows the view has above the cursor now that the window has another width. The terminal has joined what it wrapped, and
// wrapped it anew.
func (v view) above(width int) int {
	if width == v.width {
		return v.cursor.row
	}
	count, columns := 0, 0 // of rows, and of the line that is wrapped
	for _, r := range v.rows[:v.cursor.row] {
		if columns += r.columns; !r.wrapped {
			count += max(1, (columns+width-1)/width)
			columns = 0
		}
	}
	return count + (columns+v.cursor.column)/width
}

// draw writes the view below a cursor at the left edge.
func (v view) draw(out *strings.Builder) {
	for i, r := range v.rows {
		out.WriteString(r.text)
		switch {
		case i == len(v.rows)-1:
		case !r.wrapped:
			out.WriteString("\r\n")
		case v.rows[i+1].text == "": // the terminal wraps when something follows
			out.WriteString(" \r")
		}
	}
	if up := len(v.rows) - 1 - v.cursor.row; up > 0 {
		fmt.Fprintf(out, "\x1b[%dA", up)
	}
	out.WriteString("\r")
	if v.cursor.column > 0 {
		fmt.Fprintf(out, "\x1b[%dC", v.cursor.column)
	}
}

// erase takes the view away, and leaves the cursor where it began.
func (v view) erase(out *strings.Builder, width int) {
	if up := v.above(width); up > 0 {
		fmt.Fprintf(out, "\x1b[%dA", up)
	}
	out.WriteString("\r\x1b[J")
}
