package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
)

// choice is a flag with a few possible values.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string {
	if c.long() {
		return "NAME"
	}
	return strings.Join(c.allowed, "|")
}

// long reports whether there are too many values to list them in the column of flags.
func (c *choice) long() bool { return len(strings.Join(c.allowed, "|")) > 30 }
func (c *choice) Set(text string) error {
	for _, value := range c.allowed {
		if text == value {
			c.value = value
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(c.allowed, ", "))
}

// register adds the flag, and its values to the shell's completion.
func (c *choice) register(cmd *cobra.Command, name, usage string) {
	if c.long() {
		usage += ": " + strings.Join(c.allowed, ", ")
	}
	cmd.Flags().Var(c, name, usage)
	cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.allowed, cobra.ShellCompDirectiveNoFileComp)) // fails for a second one only
}

// count is a flag for a whole number from 0, or least, to most.
type count struct {
	value, least, most int
}

func (c *count) String() string { return strconv.Itoa(c.value) }
func (c *count) Type() string   { return "int" }
func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case err == nil && n >= c.least && n <= c.most:
		c.value = n
		return nil
	case c.most == math.MaxInt32:
		return fmt.Errorf("want a whole number, at least %d", c.least)
	}
	return fmt.Errorf("want a whole number from %d to %d", c.least, c.most)
}

// number is a flag for a finite number from least to most.
type number struct {
	value, least, most float64
}

func (n *number) String() string { return strconv.FormatFloat(n.value, 'g', -1, 64) }
func (n *number) Type() string   { return "float" }
func (n *number) Set(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	switch {
	case err == nil && value >= n.least && value <= n.most:
		n.value = value
		return nil
	case n.most == math.MaxFloat64:
		return errors.New("want a number, at least 0")
	case n.least == math.SmallestNonzeroFloat64:
		return fmt.Errorf("want a number above 0, at most %g", n.most)
	case n.least == 0:
		return fmt.Errorf("want a number from 0 to %g", n.most)
	}
	return fmt.Errorf("want a number from %.2g to %.2g", n.least, n.most)
}

// maxThreads keeps a slip of the finger from filling memory with threads' workspaces.
const maxThreads = 1024

func registerThreads(cmd *cobra.Command) *count {
	threads := &count{most: maxThreads}
	cmd.Flags().Var(threads, "threads", "threads to use; 0: one for each core, but for slow ones. The text never depends on it")
	return threads
}

// modelFlags are those of every command that runs a model.
type modelFlags struct {
	threads *count
	kv      choice
	context count
}

var cacheEncodings = []runtime.KV{runtime.F32, runtime.F16, runtime.Int8}

func (f *modelFlags) register(cmd *cobra.Command) {
	f.threads = registerThreads(cmd)
	for _, encoding := range cacheEncodings {
		f.kv.allowed = append(f.kv.allowed, encoding.String())
	}
	f.kv.register(cmd, "kv", "how keys and values of past positions are kept (default f32 for f32 files, else f16)")
	f.context = count{most: math.MaxInt32}
	cmd.Flags().Var(&f.context, "ctx", "positions that a text may have; 0: those of the model")
}

// options returns what the flags mean to runtime.Open.
func (f *modelFlags) options() []runtime.Option {
	options := []runtime.Option{runtime.WithThreads(runtime.NewThreads(f.threads.value))}
	for _, encoding := range cacheEncodings {
		if f.kv.value == encoding.String() {
			options = append(options, runtime.WithKV(encoding))
		}
	}
	return append(options, f.contextOption())
}

// contextOption is that of all models that work on the same text.
func (f *modelFlags) contextOption() runtime.Option { return runtime.WithContext(f.context.value) }

// exactly asks for arguments by name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return fmt.Errorf("%d arguments given, want %s", len(args), strings.Join(names, " "))
	}
}

// checkOutput refuses standard output for what is not written from its beginning to its end.
func checkOutput(cmd *cobra.Command, target string) error {
	if target == "-" {
		return usagef(cmd, "-o -: it appears whole or not at all, and is not written to standard output; want a name (./- is one)")
	}
	return nil
}

// completeFiles offers .tti files for the first argument.
func completeFiles(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return completeExtensions("tti")(cmd, args, word)
}

// completeExtensions offers files with one of the extensions for the first argument.
func completeExtensions(extensions ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}
