package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainly returns what an error says, without the words of Go's standard library for what went wrong.
func plainly(err error) string {
	text := err.Error()
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		text = strings.Replace(text, path.Error(), fmt.Sprintf("%s: %v", path.Path, path.Err), 1)
	}
	if dial := (*net.OpError)(nil); errors.As(err, &dial) {
		text = strings.Replace(text, dial.Error(), unreachable(dial), 1)
	}
	if number := (*strconv.NumError)(nil); errors.As(err, &number) {
		want := "want a number"
		if number.Func == "ParseBool" {
			want = "want true or false"
		}
		text = strings.Replace(text, number.Error(), want, 1)
	}
	return strings.ReplaceAll(text, fs.ErrNotExist.Error(), "no such file or directory")
}

// unreachable says why a connection failed.
func unreachable(err *net.OpError) string {
	name, call := (*net.DNSError)(nil), (*os.SyscallError)(nil)
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "no such host, or no network"
	case errors.As(err, &name):
		return "the name could not be looked up"
	case errors.As(err, &call):
		return call.Err.Error()
	}
	return err.Err.Error()
}

// otherNames are flags of other programs, by what they are here.
var otherNames = map[string]string{
	"temperature": "temp", "max-tokens": "tokens", "max-new-tokens": "tokens", "n-predict": "tokens", "num-predict": "tokens",
	"repetition-penalty": "repeat-penalty", "context": "ctx", "ctx-size": "ctx", "n-ctx": "ctx", "num-ctx": "ctx", "max-length": "ctx",
	"system-prompt": "system", "chat-template": "template", "draft-model": "draft", "model-draft": "draft", "out": "output", "outfile": "output",
	"quantize": "mode", "quantization": "mode", "dtype": "mode", "outtype": "mode", "verbose": "stats", "input": "text", "cache-type": "kv", "port": "listen", "host": "listen",
}

// flagError is an error of usage about a flag, with the flag that may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	unknown := (*pflag.NotExistError)(nil)
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		if near := nearestFlag(cmd.Flags(), unknown.GetSpecifiedName()); near != "" {
			err = fmt.Errorf("%w, did you mean --%s?", err, near)
		}
	}
	return usage(cmd, err)
}

// nearestFlag returns the flag that is meant by a name that is none: what another program calls it, one with the same beginning, or one that is
// at most two slips of a finger, and less than half of its letters, away. It returns "" if none is.
func nearestFlag(flags *pflag.FlagSet, name string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if known := otherNames[name]; known != "" && flags.Lookup(known) != nil {
		return known
	}
	nearest, least := "", 3
	flags.VisitAll(func(f *pflag.Flag) {
		distance := editDistance(name, f.Name)
		if len(name) > 2 && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name)) {
			distance = min(distance, 1)
		}
		if distance < least && 2*distance < len(name) {
			nearest, least = f.Name, distance
		}
	})
	return nearest
}

// editDistance returns how many characters must be put in, taken out or exchanged to make b of a (V. I. Levenshtein, 1966).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchanged := before
			if a[i] != b[j] {
				exchanged++
			}
			before = row[j+1]
			row[j+1] = min(exchanged, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
