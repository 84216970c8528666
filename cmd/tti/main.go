// Command tti packs language models into .tti files and runs them.
//
// It holds flags, tables and exit codes, one file per command, and no arithmetic: what it does is
// in packages convert, format, runtime and spec. Text goes to standard output and nothing
// else does; progress goes to standard error, and only to a terminal.
//
// Start reading at run below, then at the command's own file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/buildinfo"
)

// Exit codes. A process that a broken pipe ends may have the signal's instead.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(stdin, stdout, stderr)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for the arguments of the process
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if code != exitDone && !errors.Is(err, syscall.EPIPE) { // whoever closed the pipe wants to hear no more
		for _, err := range separately(err) {
			fmt.Fprintf(stderr, "tti: %s\n", oneLine(err))
		}
	}
	return code
}

// separately returns the errors of several things that a command has done, one for each.
func separately(err error) []error {
	if several, ok := err.(severalErrors); ok {
		return several
	}
	return []error{err}
}

// severalErrors are told in a line each.
type severalErrors []error

func (s severalErrors) Error() string   { return errors.Join(s...).Error() }
func (s severalErrors) Unwrap() []error { return s }

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, new(usageError)):
		return exitUsage
	}
	return exitFailed
}

func oneLine(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	const most = 2000 // a file may be quoted whose words are megabytes long
	text := printable(strings.ReplaceAll(plainly(err), "\n", " "))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}

func usagef(cmd *cobra.Command, text string, values ...any) error {
	return usage(cmd, fmt.Errorf(text, values...))
}

// newRoot returns the whole command line, ready to be executed once.
func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "tti",
		Short: "Pack language models into single files and run them on the CPU",
		Long: `tti packs a HuggingFace model directory into one .tti file, laid out the way the CPU reads it,
and runs it straight from the mapped file. The same file, prompt and seed give the same text on
every machine, whatever the number of threads.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`,
		Example: `  tti run Qwen/Qwen3-0.6B
  tti convert testdata/fable --mode int4 -o fable.tti
  tti run fable.tti "Once upon a time" -n 100
  tti inspect fable.tti`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd, "unknown command %q%s", args[0], suggestion(cmd, args[0]))
			}
			return nil
		},
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version: buildinfo.Version(),
	}
	root.SetVersionTemplate(version())
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newConvert(), newExport(), newInspect(), newVerify(), newPack(), newUnpack(), newRun(), newEval(), newTokenize(), newBench(), newServe(), newReplay(),
		newPull(), newList(), newRemove(), newVersion(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	for _, command := range root.Commands() {
		if command.Name() == "completion" {
			command.RunE = func(cmd *cobra.Command, _ []string) error { return usagef(cmd, "no shell given") }
		}
		strict(command)
	}
	narrow(root)
	return root
}

func suggestion(cmd *cobra.Command, name string) string {
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return fmt.Sprintf(", did you mean %q?", near[0])
	}
	return ""
}

// strict makes wrong arguments of a command and its subcommands errors of usage.
func strict(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage(cmd, err)
			}
			return nil
		}
	}
	for _, command := range cmd.Commands() {
		strict(command)
	}
}

// interruptible calls f with a context that any of the signals ends. The same signal once more has
// its usual effect.
func interruptible(ctx context.Context, f func(context.Context) error, signals ...os.Signal) error {
	ctx, stop := signal.NotifyContext(ctx, signals...)
	defer stop()
	context.AfterFunc(ctx, stop)
	return f(ctx)
}

// cancellable is interruptible for a whole command.
func cancellable(f func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return interruptible(cmd.Context(), func(ctx context.Context) error { return f(ctx, cmd, args) }, os.Interrupt, syscall.SIGTERM)
	}
}
