package report

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	width, height = 8 * vg.Inch, 5 * vg.Inch
	resolution    = 144 // dots per inch: text is still readable at half the size
	margin        = vg.Length(14)

	titleSize, textSize, smallSize = vg.Length(18), vg.Length(13), vg.Length(11)
)

var (
	// The card is light, whatever is around it.
	card   = color.RGBA{0xfb, 0xfb, 0xf8, 0xff}
	ink    = color.RGBA{0x22, 0x22, 0x22, 0xff}
	faint  = color.RGBA{0xdd, 0xdd, 0xd8, 0xff}
	middle = color.RGBA{0x88, 0x88, 0x88, 0xff}

	// palette is that of M. Okabe and K. Ito, "Color Universal Design" (2008), which people of any
	// colour vision can tell apart, without its yellow, which is too light for this card. Shapes and
	// dashes differ too.
	palette = []color.RGBA{
		{0x33, 0x33, 0x33, 0xff}, // black
		{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
		{0x00, 0x72, 0xb2, 0xff}, // blue
		{0xe6, 0x9f, 0x00, 0xff}, // orange
		{0xd5, 0x5e, 0x00, 0xff}, // vermillion
		{0x00, 0x9e, 0x73, 0xff}, // bluish green
		{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	}
	markers = []draw.GlyphDrawer{
		draw.CircleGlyph{}, polygon{4, 45}, polygon{3, 90}, polygon{4, 90}, polygon{3, 270}, polygon{6, 0}, draw.RingGlyph{},
	}
	dashes = [][]vg.Length{nil, {8, 3}, {3, 3}, {8, 3, 2, 3}, {12, 4}, {2, 2}, {6, 2, 2, 2, 2, 2}}
)

// write draws a chart into name.png or name.svg or both, or nothing if there is nothing to show.
func (c chart) write(r Report, directory string, suffixes ...string) error {
	figures := c.figures(r)
	if len(figures) == 0 {
		return nil
	}
	for _, suffix := range suffixes {
		picture, err := c.picture(figures, suffix)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(directory, c.name+suffix), picture, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// picture returns the contents of a file.
func (c chart) picture(figures []figure, suffix string) ([]byte, error) {
	var canvas interface {
		vg.CanvasSizer
		io.WriterTo
	} = vgsvg.New(width, height)
	if suffix == ".png" {
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(resolution))}
	}
	if err := c.draw(draw.New(canvas), figures); err != nil {
		return nil, err
	}
	var picture bytes.Buffer
	if _, err := canvas.WriteTo(&picture); err != nil {
		return nil, err
	}
	if suffix == ".svg" {
		return portable(picture.Bytes()), nil
	}
	return picture.Bytes(), nil
}

func (c chart) draw(canvas draw.Canvas, figures []figure) error {
	canvas.FillPolygon(card, []vg.Point{canvas.Min, {X: canvas.Max.X, Y: canvas.Min.Y}, canvas.Max, {X: canvas.Min.X, Y: canvas.Max.Y}})
	canvas = draw.Crop(canvas, margin, -margin, margin, -margin)
	canvas.FillText(style(titleSize, draw.XLeft, draw.YTop), vg.Point{X: canvas.Min.X, Y: canvas.Max.Y}, c.title)
	canvas = draw.Crop(canvas, 0, 0, 0, -titleSize*1.7)
	for i, f := range figures {
		if f.kind == dots || i > 0 && sameLegend(f, figures[0]) { // dots bear their names
			continue
		}
		legend(canvas, f)
		canvas = draw.Crop(canvas, 0, 0, 0, -textSize*2)
	}
	if note := figures[0].note(); note != "" {
		canvas.FillText(style(smallSize, draw.XLeft, draw.YBottom), canvas.Min, note)
		canvas = draw.Crop(canvas, 0, 0, smallSize*1.7, 0)
	}
	whole, all := canvas.Max.X-canvas.Min.X, 0
	for _, f := range figures {
		all += f.places()
	}
	before := 0
	for i, f := range figures {
		p, err := f.plot()
		if err != nil {
			return err
		}
		left := whole * vg.Length(before) / vg.Length(all)
		if i > 0 {
			left += margin
		}
		before += f.places()
		p.Draw(draw.Crop(canvas, left, whole*vg.Length(before)/vg.Length(all)-whole, 0, 0))
	}
	return nil
}

// places is how much room a figure needs beside others: that of its axis and of its bars.
func (f figure) places() int { return 5 + len(f.categories)*len(f.series) }

// note explains what a reader may take for something else.
func (f figure) note() string {
	var notes []string
	if f.logarithms {
		notes = append(notes, "Both axes are logarithmic: equal distances are equal ratios.")
	}
	if f.kind == dots && !f.fromZero {
		notes = append(notes, "The axes do not begin at zero.")
	}
	if f.spread() {
		notes = append(notes, "Thin bars reach from the first to the third quartile of the rounds.")
	}
	return strings.Join(notes, " ")
}

// spread reports whether a point shows its spread.
func (f figure) spread() bool {
	return slices.ContainsFunc(f.series, func(s series) bool {
		return slices.ContainsFunc(s.points, func(p point) bool { return p.low != 0 || p.high != 0 })
	})
}

// sameLegend reports whether two figures name the same series.
func sameLegend(a, b figure) bool {
	return slices.EqualFunc(a.series, b.series, func(a, b series) bool { return a.name == b.name && a.style == b.style })
}

// legend names the series in one line.
func legend(canvas draw.Canvas, f figure) {
	at := vg.Point{X: canvas.Min.X, Y: canvas.Max.Y - textSize/2}
	label := style(textSize, draw.XLeft, draw.YCenter)
	for _, s := range f.series {
		swatch := vg.Length(12)
		if f.kind == lines {
			swatch = 30
			canvas.StrokeLines(line(s.style), []vg.Point{at, {X: at.X + swatch, Y: at.Y}})
		}
		if f.kind == bars {
			canvas.FillPolygon(colour(s.style), box(at.X, at.Y-swatch/2, at.X+swatch, at.Y+swatch/2))
		} else {
			canvas.DrawGlyph(glyph(s.style), vg.Point{X: at.X + swatch/2, Y: at.Y})
		}
		at.X += swatch + 5
		canvas.FillText(label, at, s.name)
		at.X += label.Width(s.name) + 16
	}
}

func box(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

func colour(style int) color.Color { return palette[style%len(palette)] }

func line(style int) draw.LineStyle {
	return draw.LineStyle{Color: colour(style), Width: 2.2, Dashes: dashes[style%len(dashes)]}
}

func glyph(style int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: colour(style), Radius: 5, Shape: markers[style%len(markers)]}
}

// polygon is a marker with equal sides.
type polygon struct{ corners, degrees int }

// DrawGlyph implements draw.GlyphDrawer.
func (g polygon) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var corners []vg.Point
	for i := range g.corners {
		sin, cos := math.Sincos(math.Pi * (float64(g.degrees)/180 + 2*float64(i)/float64(g.corners)))
		corners = append(corners, vg.Point{X: at.X + vg.Length(1.25*cos)*style.Radius, Y: at.Y + vg.Length(1.25*sin)*style.Radius})
	}
	c.FillPolygon(style.Color, corners)
}

func style(size vg.Length, x text.XAlignment, y text.YAlignment) draw.TextStyle {
	return draw.TextStyle{
		Color: ink, Font: sans(size), XAlign: x, YAlign: y,
		Handler: plot.DefaultTextHandler,
	}
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// plot returns the figure with its axes.
func (f figure) plot() (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = card
	p.X.Label.Text, p.Y.Label.Text = f.x, f.y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = sans(textSize), ink
		axis.Tick.Label.Font, axis.Tick.Label.Color = sans(textSize), ink
		axis.Label.Padding = 4
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = middle, middle
		axis.Tick.Marker = round{}
		axis.Padding = 0
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = faint
	p.Add(grid)
	if f.reference != 0 {
		p.Add(reference(f.reference))
	}
	add := map[kind]func(figure, *plot.Plot) error{bars: figure.addBars, lines: figure.addLines, dots: figure.addDots}[f.kind]
	return p, add(f, p)
}

// round is about five ticks at multiples of 1, 2 or 5 times a power of ten.
type round struct{}

func (round) Ticks(low, high float64) (ticks []plot.Tick) {
	rough := (high - low) / 5
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * power
	for _, digit := range []float64{5, 2, 1} {
		if digit*power >= rough {
			step = digit * power
		}
	}
	decimals := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	for i := int(math.Ceil(low/step - 1e-9)); float64(i)*step <= high*(1+1e-9); i++ { // an int, for no tick to be -0
		at := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: at, Label: grouped(strconv.FormatFloat(at, 'f', decimals, 64))})
	}
	return ticks
}

// reference is a dashed horizontal line across the figure.
type reference float64

func (y reference) Plot(c draw.Canvas, p *plot.Plot) {
	_, transform := p.Transforms(&c)
	at := transform(float64(y))
	c.StrokeLines(draw.LineStyle{Color: middle, Width: 1.5, Dashes: []vg.Length{6, 4}}, []vg.Point{{X: c.Min.X, Y: at}, {X: c.Max.X, Y: at}})
}

// largest returns the upper end of what is shown.
func (f figure) largest() float64 {
	most := f.reference
	for _, s := range f.series {
		for _, p := range s.points {
			most = max(most, p.y, p.high)
		}
	}
	return most
}

// groupWidth is the share of a category's place that its bars take.
const groupWidth = 0.84

func (f figure) addBars(p *plot.Plot) error {
	each := groupWidth / float64(len(f.series))
	for i, s := range f.series {
		for _, at := range s.points {
			left := at.x - groupWidth/2 + each*float64(i)
			bar, err := plotter.NewPolygon(plotter.XYs{{X: left, Y: 0}, {X: left + 0.94*each, Y: 0}, {X: left + 0.94*each, Y: at.y}, {X: left, Y: at.y}})
			if err != nil {
				return err
			}
			bar.Color, bar.LineStyle.Width = colour(s.style), 0
			p.Add(bar, whisker{at, left + 0.47*each, ink})
			p.Add(caption{at: plotter.XY{X: left + 0.47*each, Y: max(at.y, at.high)}, text: at.label})
		}
	}
	ticks := make([]plot.Tick, len(f.categories))
	for i, name := range f.categories {
		ticks[i] = plot.Tick{Value: float64(i), Label: name}
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Tick.LineStyle.Color, p.X.Tick.Length = card, 4 // unseen: they keep the names off the axis
	if len(f.categories) > 3 && strings.Contains(f.categories[0], "\n") {
		p.X.Tick.Label.Font.Size = smallSize
	}
	p.X.Min, p.X.Max = -0.5, float64(len(f.categories))-0.5
	p.Y.Min, p.Y.Max = 0, 1.1*f.largest()
	return nil
}

// whisker is the spread of a point, drawn at x.
type whisker struct {
	point
	at     float64
	colour color.Color
}

func (w whisker) Plot(c draw.Canvas, p *plot.Plot) {
	if w.low == 0 && w.high == 0 {
		return
	}
	x, y := p.Transforms(&c)
	const half = vg.Length(3)
	at, low, high := x(w.at), y(w.low), y(w.high)
	thin := draw.LineStyle{Color: w.colour, Width: 1}
	for _, stroke := range [][]vg.Point{
		{{X: at, Y: low}, {X: at, Y: high}}, {{X: at - half, Y: low}, {X: at + half, Y: low}}, {{X: at - half, Y: high}, {X: at + half, Y: high}},
	} {
		c.StrokeLines(thin, stroke)
	}
}

// caption is text above a bar.
type caption struct {
	at   plotter.XY
	text string
}

func (t caption) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.FillText(style(smallSize, draw.XCenter, draw.YBottom), vg.Point{X: x(t.at.X), Y: y(t.at.Y) + 2}, t.text)
}

func (f figure) addLines(p *plot.Plot) error {
	var places []float64
	for _, s := range f.series {
		var xys plotter.XYs
		for _, at := range s.points {
			xys = append(xys, plotter.XY{X: at.x, Y: at.y})
			p.Add(whisker{at, at.x, colour(s.style)})
			if !slices.Contains(places, at.x) {
				places = append(places, at.x)
			}
		}
		curve, points, err := plotter.NewLinePoints(xys)
		if err != nil {
			return err
		}
		curve.LineStyle, points.GlyphStyle = line(s.style), glyph(s.style)
		p.Add(curve, points)
	}
	if !f.logarithms {
		p.Y.Min, p.Y.Max = 0, 1.05*f.largest()
		return nil
	}
	var ticks []plot.Tick
	for _, x := range places {
		ticks = append(ticks, plot.Tick{Value: x, Label: grouped(strconv.FormatFloat(x, 'f', -1, 64))})
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(ticks), decades{}
	return nil
}

// decades are ticks at 1, 2 and 5 times the powers of ten.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high); power++ {
		for _, digit := range []float64{1, 2, 5} {
			if x := digit * math.Pow(10, power); x >= low && x <= high {
				ticks = append(ticks, plot.Tick{Value: x, Label: grouped(strconv.FormatFloat(x, 'g', 6, 64))})
			}
		}
	}
	return ticks
}

func (f figure) addDots(p *plot.Plot) error {
	l := &labels{}
	for _, s := range f.series {
		for _, at := range s.points {
			points, err := plotter.NewScatter(plotter.XYs{{X: at.x, Y: at.y}})
			if err != nil {
				return err
			}
			points.GlyphStyle = glyph(s.style)
			p.Add(whisker{at, at.x, colour(s.style)}, points)
			l.points = append(l.points, at)
		}
	}
	p.Add(l)
	widen := func(axis *plot.Axis) {
		if f.fromZero {
			axis.Min, axis.Max = 0, 1.12*axis.Max
			return
		}
		spread := max(axis.Max-axis.Min, 1e-3*math.Abs(axis.Max), 1e-9)
		axis.Min, axis.Max = axis.Min-0.08*spread, axis.Max+0.12*spread
	}
	widen(&p.X)
	widen(&p.Y)
	return nil
}

// labels writes the points' labels beside them, where they hide no other point or label.
type labels struct{ points []point }

func (l *labels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	const gap = vg.Length(9)
	var taken []vg.Rectangle
	for _, at := range l.points {
		centre := vg.Point{X: x(at.x), Y: y(at.y)}
		taken = append(taken, vg.Rectangle{Min: centre.Sub(vg.Point{X: 6, Y: 6}), Max: centre.Add(vg.Point{X: 6, Y: 6})})
		if at.high != 0 {
			taken = append(taken, vg.Rectangle{Min: vg.Point{X: centre.X - 3, Y: y(at.low)}, Max: vg.Point{X: centre.X + 3, Y: y(at.high)}})
		}
	}
	for _, at := range l.points {
		centre := vg.Point{X: x(at.x), Y: y(at.y)}
		label := style(textSize, draw.XLeft, draw.YCenter)
		w, h := label.Width(at.label), textSize
		best := vg.Rectangle{}
		for i, corner := range []vg.Point{
			{X: gap, Y: -h / 2}, {X: -w / 2, Y: gap}, {X: -w / 2, Y: -gap - h}, {X: -gap - w, Y: -h / 2},
			{X: gap, Y: gap / 2}, {X: gap, Y: -gap/2 - h}, {X: -gap - w, Y: gap / 2}, {X: -gap - w, Y: -gap/2 - h},
			{X: 2 * gap, Y: 1.5 * gap}, {X: 2 * gap, Y: -1.5*gap - h}, {X: -2*gap - w, Y: 1.5 * gap}, {X: -2*gap - w, Y: -1.5*gap - h},
		} {
			least := centre.Add(corner)
			place := vg.Rectangle{Min: least, Max: least.Add(vg.Point{X: w, Y: h})}
			inside := place.Min.X >= c.Min.X && place.Max.X <= c.Max.X && place.Min.Y >= c.Min.Y && place.Max.Y <= c.Max.Y
			free := !slices.ContainsFunc(taken, func(other vg.Rectangle) bool {
				return place.Min.X < other.Max.X && other.Min.X < place.Max.X && place.Min.Y < other.Max.Y && other.Min.Y < place.Max.Y
			})
			if i == 0 || inside && free {
				best = place
			}
			if inside && free {
				break
			}
		}
		taken = append(taken, best)
		c.FillText(label, vg.Point{X: best.Min.X, Y: (best.Min.Y + best.Max.Y) / 2}, at.label)
	}
}

// DataRange lets the axes hold all points.
func (l *labels) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, ymin, xmax, ymax = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, at := range l.points {
		xmin, xmax = min(xmin, at.x), max(xmax, at.x)
		ymin, ymax = min(ymin, at.y), max(ymax, at.y, at.high)
	}
	return xmin, xmax, ymin, ymax
}
