//go:build !unix

package main

import "github.com/peterh/liner"

// newLiner returns a line editor for the process's terminal.
func newLiner() *liner.State { return liner.NewLiner() }

// restoreOnDeath has nothing to do where no signal ends a process.
func restoreOnDeath(func()) (stop func()) { return func() {} }
