package report

import (
	"errors"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolder: what another report has left does not stay beside a new one, and what is no report's is not replaced.
func TestFolder(t *testing.T) {
	r := read(t)
	directory := t.TempDir()
	mine := filepath.Join(directory, "notes.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(directory); err != nil {
		t.Fatal(err)
	}
	for i := range r.Modes {
		r.Modes[i].Quality = nil
	}
	r.Speculation = nil
	if err := r.Write(directory); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())))
	}
	if all := strings.Join(names, " "); strings.Contains(all, "perplexity") || strings.Contains(all, "speculation") || !strings.Contains(all, "memory") || !strings.Contains(all, "notes") {
		t.Errorf("there are %s", all)
	}

	for _, name := range []string{"decode.png", MarkdownName, JSONName} {
		directory := t.TempDir()
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := r.Write(directory); !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), path) {
			t.Errorf("beside %s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
			t.Errorf("%s became %q (%v)", name, text, err)
		}
	}
	if err := Check(mine); !errors.Is(err, ErrFolder) {
		t.Errorf("a file for a directory: %v", err)
	}
	if err := Check(filepath.Join(directory, "new")); err != nil {
		t.Error(err)
	}
}

func TestUnsteady(t *testing.T) {
	r := read(t)
	for i := range r.Modes {
		for j := range r.Modes[i].Short {
			r.Modes[i].Short[j].Spread.Low, r.Modes[i].Short[j].Spread.High = 0.99*r.Modes[i].Short[j].Rate, 1.01*r.Modes[i].Short[j].Rate
		}
		r.Modes[i].Deep, r.Modes[i].Prefill = nil, nil
	}
	r.Speculation = nil
	if text := r.Unsteady(); text != "" {
		t.Errorf("steady speeds: %s", text)
	}
	d := &r.Modes[1].Short[0]
	d.Spread.High = 1.5 * d.Rate
	if text := r.Unsteady(); !strings.HasPrefix(text, "The quartiles of 1 of 18 speeds lie more than 25 % apart (most of all decoding 16 tokens with f16, 51 %)") {
		t.Errorf("one unsteady speed: %s", text)
	}
	if !strings.Contains(r.markdown(), r.Unsteady()) {
		t.Error("the report does not say it")
	}
}

// TestNotes: spreads, logarithmic axes and axes that are cut are explained in the pictures that have them, and in no others.
func TestNotes(t *testing.T) {
	r := read(t)
	for _, c := range charts {
		f := c.figures(r)[0]
		note := f.note()
		for _, n := range []struct {
			word string
			want bool
		}{
			{"quartile", strings.Contains("decode tradeoff depth concurrency", c.name)},
			{"logarithmic", c.name == "prefill"},
			{"begin at zero", c.name == "perplexity"},
		} {
			if strings.Contains(note, n.word) != n.want {
				t.Errorf("%s is explained by %q", c.name, note)
			}
		}
	}
}

// TestSVGsArePortable: each has a font that is everywhere, and each colour that would vanish on a dark card another one there.
func TestSVGsArePortable(t *testing.T) {
	r := read(t)
	for _, c := range charts {
		text, err := c.picture(c.figures(r), ".svg")
		if err != nil {
			t.Fatal(err)
		}
		svg := string(text)
		if fonts := strings.Count(svg, "font-family:"); fonts == 0 || strings.Count(svg, "sans-serif;") != fonts {
			t.Errorf("%s: %d fonts, %d fall back", c.name, fonts, strings.Count(svg, "sans-serif;"))
		}
		style, _, _ := strings.Cut(svg, "</style>")
		if !strings.Contains(style, "prefers-color-scheme: dark") || !strings.Contains(style, `[style*="fill:#FBFBF8"] { fill: #1B1D20 !important }`) {
			t.Errorf("%s has no dark variant", c.name)
		}
		textOf(t, text) // which fails if it is no XML
	}
}

// TestDarkColoursCanBeSeen: what is drawn stands out from the dark card by 3 to 1 at least, texts by 4.5 (Web Content Accessibility
// Guidelines 2.1, 1.4.11 and 1.4.3).
func TestDarkColoursCanBeSeen(t *testing.T) {
	for _, c := range palette {
		if dark, ok := darkColours[c]; ok {
			c = dark
		}
		if ratio := contrast(c, darkColours[card]); ratio < 3 {
			t.Errorf("%v: contrast %.2f", c, ratio)
		}
	}
	if ratio := contrast(darkColours[ink], darkColours[card]); ratio < 4.5 {
		t.Errorf("texts: contrast %.2f", ratio)
	}
}

// contrast is the ratio of relative luminances, by the same guidelines.
func contrast(a, b color.RGBA) float64 {
	luminance := func(c color.RGBA) (sum float64) {
		for i, v := range []uint8{c.R, c.G, c.B} {
			x := float64(v) / 255
			if x <= 0.04045 {
				x /= 12.92
			} else {
				x = math.Pow((x+0.055)/1.055, 2.4)
			}
			sum += []float64{0.2126, 0.7152, 0.0722}[i] * x
		}
		return sum + 0.05
	}
	x, y := luminance(a), luminance(b)
	return max(x, y) / min(x, y)
}
