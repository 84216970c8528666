package lineedit

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// window is a terminal that wraps its lines anew when its width changes. It knows what the editor sends, and nothing of the editor.
type window struct {
	width   int
	cells   [][]string // a wide character takes two, the second of which is empty
	wrapped []bool     // the row goes on in the next
	row     int
	column  int // the width: the next character wraps
}

func newWindow(width int) *window {
	return &window{width: width, cells: [][]string{nil}, wrapped: []bool{false}}
}

func (w *window) down() {
	if w.row++; w.row == len(w.cells) {
		w.cells, w.wrapped = append(w.cells, nil), append(w.wrapped, false)
	}
}

// put writes a character of so many columns.
func (w *window) put(character string, columns int) {
	if w.column+columns > w.width {
		w.wrapped[w.row] = true
		w.down()
		w.column = 0
	}
	for len(w.cells[w.row]) < w.column+columns {
		w.cells[w.row] = append(w.cells[w.row], " ")
	}
	w.cells[w.row][w.column] = character
	if columns == 2 {
		w.cells[w.row][w.column+1] = ""
	}
	w.column += columns
}

func (w *window) write(text string) {
	for text != "" {
		if rest, found := strings.CutPrefix(text, "\x1b["); found {
			end := strings.IndexAny(rest, "ABCDHJ")
			n, err := strconv.Atoi(rest[:end])
			if err != nil {
				n = 1
			}
			switch rest[end] {
			case 'A':
				w.row = max(0, w.row-n)
			case 'C':
				w.column = min(w.width-1, w.column+n)
			case 'J':
				w.cells[w.row] = w.cells[w.row][:min(w.column, len(w.cells[w.row]))]
				w.cells, w.wrapped = w.cells[:w.row+1], w.wrapped[:w.row+1]
				w.wrapped[w.row] = false
			}
			text = rest[end+1:]
			continue
		}
		character := characters(text)[0]
		text = text[len(character):]
		switch character {
		case "\r\n":
			w.column = 0
			w.down()
		case "\r":
			w.column = 0
		case "\n":
			w.down()
		default:
			w.put(character, runewidth.StringWidth(character))
		}
	}
}

// resize joins what was wrapped and wraps it anew, with the cursor at the same character.
func (w *window) resize(width int) {
	anew := newWindow(width)
	cursor := place{-1, 0}
	for i, row := range w.cells {
		for column := range max(len(row), w.column+1) {
			if i == w.row && column == w.column {
				cursor = place{anew.row, anew.column}
				if anew.column == width {
					cursor = place{anew.row + 1, 0}
				}
			}
			if column < len(row) {
				anew.put(row[column], 1)
			}
		}
		if !w.wrapped[i] && i < len(w.cells)-1 {
			anew.column = 0
			anew.down()
		}
	}
	anew.row, anew.column = cursor.row, cursor.column
	if anew.row == len(anew.cells) {
		anew.wrapped[anew.row-1] = true
		anew.cells, anew.wrapped = append(anew.cells, nil), append(anew.wrapped, false)
	}
	*w = *anew
}

// lines returns what stands there, without spaces at the ends of lines.
func (w *window) lines() (all []string) {
	line := ""
	for i, row := range w.cells {
		line += strings.Join(row, "")
		if !w.wrapped[i] {
			all = append(all, strings.TrimRight(line, " "))
			line = ""
		}
	}
	if line != "" {
		all = append(all, strings.TrimRight(line, " "))
	}
	return all
}

// cursorAt returns the character under the cursor, "" for none.
func (w *window) cursorAt() string {
	if w.column < len(w.cells[w.row]) {
		return w.cells[w.row][w.column]
	}
	return ""
}

// TestWindowShowsTheText edits texts, and changes the window's width, in all ways that chance finds: the window always shows what stood there
// before and then the text, once, with the cursor where it is.
func TestWindowShowsTheText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for trial := range 60 {
		pieces, resizes := []string{"a", "b", "word ", " ", "\n", "\n\n"}, true
		if trial%3 == 0 { // which terminals wrap anew in ways of their own
			pieces, resizes = append(pieces, "日", "本語", "é", "e\u0301", "\t"), false
		}
		w := newWindow(4 + random.IntN(30))
		w.write("what was said\r\n")
		var l line
		var shown view
		for range 40 {
			switch n := random.IntN(10); {
			case n < 5:
				l.do(input{insert, strings.Repeat(pieces[random.IntN(len(pieces))], 1+random.IntN(8))})
			case n < 7:
				l.at = random.IntN(len(l.characters) + 1)
			case n < 8:
				l.do(input{command: []command{backspace, killLeft, killWordLeft, killRight, wordLeft}[random.IntN(5)]})
			case resizes:
				w.resize(4 + random.IntN(30))
			}
			var out strings.Builder
			shown.erase(&out, w.width)
			text := append([]string{">", " "}, l.characters...)
			shown = newView(text, 2+l.at, w.width, 1000)
			shown.draw(&out)
			w.write(out.String())
			if lines, want := strings.Join(w.lines(), "\n"), "what was said\n"+expanded("> "+l.text(), w.width); lines != want {
				t.Fatalf("trial %d: in %d columns the window shows\n%s\nwant\n%s\nafter %q", trial, w.width, lines, want, out.String())
			}
			under := ""
			if l.at < len(l.characters) {
				under = strings.Trim(l.characters[l.at], "\n\t ")
			}
			if got := strings.TrimSpace(w.cursorAt()); got != under {
				t.Fatalf("trial %d: the cursor is at %q, want %q", trial, got, under)
			}
		}
	}
}

// expanded returns the lines of a text as they look, without spaces at their ends.
func expanded(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		shown, column := "", 0
		for _, character := range characters(line) {
			columns := runewidth.StringWidth(character)
			if character == "\t" { // which ends at the edge, and never wraps but as a whole
				if column == width {
					column = 0
				}
				columns = min(TabWidth-column%TabWidth, width-column)
				character = strings.Repeat(" ", columns)
			}
			if column+columns > width {
				column = 0
			}
			shown += character
			column += columns
		}
		lines[i] = strings.TrimRight(shown, " ")
	}
	return strings.Join(lines, "\n")
}

// TestViewIsNoHigherThanItMayBe moves the cursor through a text that is higher.
func TestViewIsNoHigherThanItMayBe(t *testing.T) {
	var text []string
	for i := range 40 {
		text = append(text, characters(fmt.Sprintf("line %d\n", i))...)
	}
	for cursor := range len(text) + 1 {
		for _, most := range []int{3, 4, 12} {
			v := newView(text, cursor, 20, most)
			if len(v.rows) != most || v.cursor.row < 0 || v.cursor.row >= most {
				t.Fatalf("%d rows of %d, cursor in row %d", len(v.rows), most, v.cursor.row)
			}
			line := strings.Count(strings.Join(text[:cursor], ""), "\n")
			if want := fmt.Sprintf("line %d", line); line < 40 && v.rows[v.cursor.row].text != want {
				t.Errorf("the cursor is in %q, want %q", v.rows[v.cursor.row].text, want)
			}
			hidden := 41 - most
			for _, r := range v.rows {
				var n int
				if k, _ := fmt.Sscanf(r.text, "[%d rows", &n); k == 1 {
					hidden -= n - 1
				}
			}
			if hidden != 0 {
				t.Errorf("at %d, with %d rows, %d are hidden and not counted", cursor, most, hidden)
			}
		}
	}
}
