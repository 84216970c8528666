//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/peterh/liner"
)

// marksPastes says that the editor understands what a terminal with bracketed paste sends.
const marksPastes = true

// newLiner returns a line editor for the process's terminal that takes a paste of several lines for one.
//
// The editor sets the modes of descriptor 0, and reads from what os.Stdin is when it is made. That is one end of a pipe here, into which the
// terminal's bytes go through a filter.
func newLiner() *liner.State {
	terminal := os.Stdin
	if !liner.TerminalSupported() {
		return liner.NewLiner()
	}
	filtered, keys, err := os.Pipe()
	if err != nil {
		return liner.NewLiner()
	}
	os.Stdin = filtered
	state := liner.NewLiner()
	os.Stdin = terminal
	go func() {
		defer keys.Close()
		var f pasteFilter
		in, out := make([]byte, 4096), []byte(nil)
		for {
			n, err := terminal.Read(in)
			if err != nil {
				return
			}
			if out = f.filter(out[:0], in[:n]); len(out) > 0 {
				if _, err := keys.Write(out); err != nil {
					return
				}
			}
		}
	}()
	return state
}

// guardTerminal watches signals until stop is called: one that ends the process first has restore called, and after one that lets a stopped
// process go on, whose shell has set the terminal's modes, they are set again as they are now.
func guardTerminal(restore func()) (stop func()) {
	modes, err := liner.TerminalMode()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGCONT)
	done := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGCONT {
					restore()
					signal.Reset(s)
					syscall.Kill(os.Getpid(), s.(syscall.Signal))
				} else if err == nil {
					modes.ApplyMode()
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
