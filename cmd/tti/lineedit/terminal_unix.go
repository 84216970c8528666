//go:build unix

package lineedit

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal has the modes of a terminal.
type terminal struct {
	in, out                      *os.File
	original, editing, answering unix.Termios

	mutex   sync.Mutex
	current *unix.Termios
	signals chan os.Signal
}

// openTerminal takes over the terminal, and tells of changes.
func openTerminal(in, out *os.File, changed chan<- change) (*terminal, error) {
	original, err := unix.IoctlGetTermios(int(in.Fd()), readTermios)
	if err != nil {
		return nil, err
	}
	t := &terminal{in: in, out: out, original: *original, signals: make(chan os.Signal, 8)}
	t.answering = t.original
	t.answering.Lflag &^= unix.ECHO | unix.ICANON | unix.IEXTEN
	t.answering.Iflag &^= unix.ICRNL | unix.INLCR | unix.IXON
	t.answering.Cc[unix.VMIN], t.answering.Cc[unix.VTIME] = 1, 0
	t.editing = t.answering
	t.editing.Lflag &^= unix.ISIG
	t.editing.Oflag &^= unix.OPOST
	if err := t.answer(); err != nil {
		return nil, err
	}
	io.WriteString(out, pasteOn)
	signal.Notify(t.signals, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTERM, syscall.SIGHUP)
	go t.watch(changed)
	return t, nil
}

// watch gives the terminal back before a signal ends the process, and takes it over again when a stopped process goes on.
func (t *terminal) watch(changed chan<- change) {
	for s := range t.signals {
		what := resized
		switch s {
		case syscall.SIGTERM, syscall.SIGHUP:
			t.close()
			signal.Reset(s)
			syscall.Kill(os.Getpid(), s.(syscall.Signal))
			return
		case syscall.SIGCONT:
			what = resumed
			t.resume()
		}
		select {
		case changed <- what:
		default: // it is known already
		}
	}
}

// set changes the modes.
func (t *terminal) set(modes *unix.Termios) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.current = modes
	return unix.IoctlSetTermios(int(t.in.Fd()), writeTermios, modes)
}

// resume sets the modes again, which a shell has changed.
func (t *terminal) resume() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.current != &t.original {
		io.WriteString(t.out, pasteOn)
	}
	unix.IoctlSetTermios(int(t.in.Fd()), writeTermios, t.current)
}

// restore gives the terminal back.
func (t *terminal) restore() error {
	io.WriteString(t.out, pasteOff)
	return t.set(&t.original)
}

// edit is for reading keys.
func (t *terminal) edit() error { return t.set(&t.editing) }

// answer is for the time between two texts.
func (t *terminal) answer() error { return t.set(&t.answering) }

// suspend stops the process, as Ctrl-Z does, until its shell lets it go on.
func (t *terminal) suspend() {
	t.restore()
	syscall.Kill(0, syscall.SIGTSTP)
	io.WriteString(t.out, pasteOn)
	t.edit()
}

func (t *terminal) close() error {
	signal.Stop(t.signals)
	return t.restore()
}
