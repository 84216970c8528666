package lineedit

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
	"golang.org/x/term"
)

// terminal has the modes of a console.
type terminal struct {
	in, out  *os.File
	original *term.State
	shown    uint32 // the mode of out
}

// openTerminal takes over the console. It tells of no changes: the next key shows a text in the window's new width.
func openTerminal(in, out *os.File, _ chan<- change) (*terminal, error) {
	t := &terminal{in: in, out: out}
	var err error
	if t.original, err = term.GetState(int(in.Fd())); err != nil {
		return nil, err
	}
	if err := windows.GetConsoleMode(windows.Handle(out.Fd()), &t.shown); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(windows.Handle(out.Fd()), t.shown|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return nil, err
	}
	_, err = io.WriteString(out, pasteOn)
	return t, err
}

// edit is for reading keys.
func (t *terminal) edit() error {
	_, err := term.MakeRaw(int(t.in.Fd()))
	return err
}

// answer is for the time between two texts.
func (t *terminal) answer() error { return term.Restore(int(t.in.Fd()), t.original) }

// suspend does nothing: Windows stops no processes.
func (t *terminal) suspend() {}

func (t *terminal) close() error {
	io.WriteString(t.out, pasteOff)
	windows.SetConsoleMode(windows.Handle(t.out.Fd()), t.shown)
	return t.answer()
}
