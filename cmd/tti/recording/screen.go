package main

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// frame is what the screen showed from a moment on.
type frame struct {
	at     time.Duration // since the first frame
	lines  []line
	column int // of the cursor
	row    int
}

// line is a row of the screen, in pieces of one style, without blanks at its end.
type line []piece

// piece is text of one style.
type piece struct {
	column, width int // in cells
	text          string
	classes       string // of the style sheet
}

// screen is a terminal emulator that remembers what it showed.
type screen struct {
	mutex    sync.Mutex
	emulator *vt.Emulator
	began    time.Time
	changed  time.Time
	frames   []frame
	err      error // why there is nothing more to read
}

func newScreen(terminal io.ReadWriter) *screen {
	s := &screen{emulator: vt.NewEmulator(columns, rows), began: time.Now()}
	go io.Copy(terminal, s.emulator) // what programs ask of the terminal
	go s.watch(terminal)
	return s
}

func (s *screen) watch(terminal io.Reader) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := terminal.Read(buffer)
		s.mutex.Lock()
		s.emulator.Write(buffer[:n])
		s.changed = time.Now()
		s.show()
		s.err = err
		s.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

// moment is the least time that a frame is shown: what changes faster, nobody sees.
const moment = 30 * time.Millisecond

// show adds a frame of what the screen shows now.
func (s *screen) show() {
	now := frame{at: s.changed.Sub(s.began)}
	for y := range rows {
		now.lines = append(now.lines, s.line(y))
	}
	cursor := s.emulator.CursorPosition()
	now.column, now.row = cursor.X, cursor.Y
	if last := len(s.frames) - 1; last > 0 && now.at-s.frames[last].at < moment {
		now.at = s.frames[last].at
		s.frames[last] = now
		return
	}
	s.frames = append(s.frames, now)
}

func (s *screen) line(y int) (pieces line) {
	for x := 0; x < columns; {
		cell := s.emulator.CellAt(x, y)
		if cell == nil || cell.Width == 0 {
			x++
			continue
		}
		piece := piece{column: x, width: cell.Width, text: cell.Content, classes: classes(cell.Style)}
		if last := len(pieces) - 1; last >= 0 && pieces[last].classes == piece.classes && pieces[last].column+pieces[last].width == x {
			pieces[last].text += piece.text
			pieces[last].width += piece.width
		} else {
			pieces = append(pieces, piece)
		}
		x += cell.Width
	}
	if last := len(pieces) - 1; last >= 0 {
		end := &pieces[last]
		blanks := len(end.text) - len(strings.TrimRight(end.text, " "))
		end.text, end.width = end.text[:len(end.text)-blanks], end.width-blanks
		if end.text == "" {
			pieces = pieces[:last]
		}
	}
	return pieces
}

// classes returns the classes of a style, those of svg.go's sheet.
func classes(style uv.Style) string {
	var names []string
	for _, attribute := range []struct {
		bit  uint8
		name string
	}{{uv.AttrBold, "bold"}, {uv.AttrFaint, "faint"}, {uv.AttrItalic, "italic"}} {
		if style.Attrs&attribute.bit != 0 {
			names = append(names, attribute.name)
		}
	}
	if n, ok := basic(style.Fg); ok {
		names = append(names, fmt.Sprintf("c%d", n%8))
	}
	return strings.Join(names, " ")
}

// basic returns the number of a colour of the terminal's own sixteen. Others are drawn as plain text.
func basic(c color.Color) (int, bool) {
	switch c := c.(type) {
	case ansi.BasicColor:
		return int(c), true
	case ansi.IndexedColor:
		return int(c), c < 16
	}
	return 0, false
}

// quiet is how long nothing may have changed before a prompt is believed.
const quiet = 200 * time.Millisecond

// await returns when the cursor stands behind a prompt and nothing moves.
func (s *screen) await(prompt string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		s.mutex.Lock()
		err, still := s.err, len(s.frames) > 0 && time.Since(s.changed) > quiet
		var text string
		column := 0
		if still {
			last := s.frames[len(s.frames)-1]
			text, column = last.lines[last.row].String(), last.column
		}
		s.mutex.Unlock()
		if err != nil {
			return err
		}
		if still && column == len(prompt) && text == strings.TrimRight(prompt, " ") {
			return nil
		}
	}
	return fmt.Errorf("no %q came in %s; the screen shows\n%s", prompt, patience, s.emulator.String())
}

func (l line) String() string {
	var text strings.Builder
	for _, p := range l {
		text.WriteString(p.text)
	}
	return text.String()
}

// recorded returns the frames, from the first prompt on, and at the end the last one once more, after so long.
func (s *screen) recorded(ending time.Duration) []frame {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	frames := slices.Clone(s.frames)
	last := frames[len(frames)-1]
	last.at += ending
	frames = append(frames, last)
	first := frames[0].at
	for i := range frames {
		frames[i].at -= first
	}
	return frames
}
