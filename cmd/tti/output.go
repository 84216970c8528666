package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// isTerminal reports whether a stream is an interactive terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// errOutput is wrapped by errors about standard output.
var errOutput = errors.New("write standard output")

// write writes text to standard output.
func write(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// writeJSON writes a value as one object without control characters. Bytes of text that are not UTF-8 become U+FFFD.
func writeJSON(w io.Writer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	// encoding/json leaves those above U+007E as they are. They are in strings, as all is in JSON that is not ASCII.
	escaped := controls.ReplaceAllStringFunc(text.String(), func(r string) string { return fmt.Sprintf(`\u%04x`, []rune(r)[0]) })
	return write(w, escaped)
}

var controls = regexp.MustCompile(`[\x{7f}-\x{9f}]`)

// readInput returns all of standard input.
func readInput(r io.Reader) (string, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return string(text), nil
}

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	bar *progressbar.ProgressBar
}

// newProgress returns a bar that counts bytes, or else things.
func newProgress(w io.Writer, label string, bytes bool) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(label),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
	}
	if bytes {
		options = append(options, progressbar.OptionShowBytes(true))
	}
	return &progress{bar: progressbar.NewOptions64(1, options...)}
}

// set tells how far the work is. Calls must not overlap. The total may grow; as a bar that has once
// been full shows nothing any more, none is ever full.
func (p *progress) set(done, total int64) {
	if p.bar == nil || done >= total {
		return
	}
	if p.bar.GetMax64() != total {
		p.bar.ChangeMax64(total)
	}
	p.bar.Set64(done)
}

// close takes the bar away, once.
func (p *progress) close() {
	if p.bar != nil {
		p.bar.Exit()
		p.bar.Clear()
		p.bar = nil
	}
}

// humanSize returns a number of bytes with three digits and a decimal unit.
func humanSize(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, units := float64(bytes), strings.Split("B kB MB GB TB PB EB", " ")
	for value >= 999.5 && len(units) > 1 {
		value, units = value/1000, units[1:]
	}
	return fmt.Sprintf("%.*f %s", max(0, 2-int(math.Log10(value))), value, units[0])
}

// grouped returns n with its digits in groups of three.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
