//go:build !unix

package main

import "github.com/peterh/liner"

// marksPastes says that the editor understands what a terminal with bracketed paste sends.
const marksPastes = false

// newLiner returns a line editor for the process's terminal.
func newLiner() *liner.State { return liner.NewLiner() }

// guardTerminal has nothing to do where no signals end or stop a process.
func guardTerminal(func()) (stop func()) { return func() {} }
