package report

import (
	"bytes"
	"fmt"
	"image/color"
	"strings"
)

// darkColours are those that stand for the others where the reader's system is dark: the same hues, light enough for a dark card.
var darkColours = map[color.RGBA]color.RGBA{
	card:   {0x1b, 0x1d, 0x20, 0xff},
	ink:    {0xe8, 0xe8, 0xe4, 0xff},
	faint:  {0x3a, 0x3d, 0x41, 0xff},
	middle: {0x90, 0x92, 0x96, 0xff},

	palette[0]: {0xd8, 0xd8, 0xd4, 0xff},
	palette[2]: {0x4d, 0x9f, 0xdc, 0xff},
	palette[4]: {0xe8, 0x7b, 0x35, 0xff},
}

// portable returns an SVG that looks right where Liberation Sans is not installed, and that follows the reader's choice of light or dark.
func portable(svg []byte) []byte {
	svg = bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
	head := []byte("<g ")
	return bytes.Replace(svg, head, append([]byte(darkStyle()), head...), 1)
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// darkStyle returns rules that exchange the colours of shapes, lines and texts, whose style attributes alone tell them.
func darkStyle() string {
	var rules strings.Builder
	rules.WriteString("<style>@media (prefers-color-scheme: dark) {\n")
	for _, from := range append([]color.RGBA{card, ink, faint, middle}, palette...) {
		to, ok := darkColours[from]
		if !ok {
			continue
		}
		for _, property := range []string{"fill", "stroke"} {
			fmt.Fprintf(&rules, "[style*=\"%s:%s\"] { %s: %s !important }\n", property, hex(from), property, hex(to))
		}
	}
	rules.WriteString("}</style>\n")
	return rules.String()
}
