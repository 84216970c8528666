package main

import (
	"encoding/xml"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSVGShowsTheFrames: at every frame's time the rules of the style sheet leave visible what the screen showed, and no more.
func TestSVGShowsTheFrames(t *testing.T) {
	frames := []frame{
		{at: 0, lines: screenOf("$ ", "")},
		{at: time.Second, lines: screenOf("$ a <b>", "")},
		{at: 1500 * time.Millisecond, lines: screenOf("$ a <b>", "one")},
		{at: 3 * time.Second, lines: screenOf("$ a <b>", "one two")},
		{at: 5 * time.Second, lines: screenOf("$ ", "one two")},
		{at: 8 * time.Second, lines: screenOf("$ ", "one two")},
	}
	picture := svg(frames, "a & b", columns, 2)
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			break
		}
	}
	for i, f := range frames[:len(frames)-1] {
		for _, late := range []time.Duration{10 * time.Millisecond, (frames[i+1].at - f.at) / 2} {
			var want []string
			for _, l := range f.lines {
				if len(l) > 0 {
					want = append(want, l.String())
				}
			}
			if got := visible(t, picture, f.at+late, frames[len(frames)-1].at); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("at %v it shows %q, want %q", f.at+late, got, want)
			}
		}
	}
	// Without movement, what the last frame has is left.
	still := strings.Join(unmoved(picture), "\n")
	if still != "$\none two" {
		t.Errorf("unmoved it shows %q", still)
	}
}

func screenOf(texts ...string) (lines []line) {
	for _, text := range texts {
		var l line
		if text = strings.TrimRight(text, " "); text != "" {
			l = line{{text: text, width: len(text)}}
		}
		lines = append(lines, l)
	}
	return lines
}

var (
	groups   = regexp.MustCompile(`<g(?: class="(\w+)")?><text [^>]*>([^<]*)</text></g>`)
	stops    = regexp.MustCompile(`([\d.]+)%\{visibility:(\w+)\}`)
	hideRule = regexp.MustCompile(`\n\.(\w+)\{visibility:hidden\}`)
)

// visible evaluates the animations at a time.
func visible(t *testing.T, picture string, at, whole time.Duration) (texts []string) {
	t.Helper()
	for _, g := range groups.FindAllStringSubmatch(picture, -1) {
		state := "visible"
		if g[1] != "" {
			_, rules, found := strings.Cut(picture, "@keyframes "+g[1]+"{")
			if !found {
				t.Fatalf("%s does not move", g[1])
			}
			rules, _, _ = strings.Cut(rules, "\n")
			for _, stop := range stops.FindAllStringSubmatch(rules, -1) {
				if percent, err := strconv.ParseFloat(stop[1], 64); err == nil && percent <= 100*at.Seconds()/whole.Seconds() {
					state = stop[2]
				}
			}
		}
		if state == "visible" {
			texts = append(texts, html.UnescapeString(g[2]))
		}
	}
	return texts
}

// unmoved returns the texts that are visible where nothing moves.
func unmoved(picture string) (texts []string) {
	hidden := map[string]bool{}
	for _, rule := range hideRule.FindAllStringSubmatch(picture, -1) {
		hidden[rule[1]] = true
	}
	for _, g := range groups.FindAllStringSubmatch(picture, -1) {
		if !hidden[g[1]] {
			texts = append(texts, html.UnescapeString(g[2]))
		}
	}
	return texts
}
