package report

import (
	"fmt"
	"strings"
)

// tables are the report's tables by name. README.md shows some of them.
var tables = map[string]func(Report) string{
	"machine":     Report.machineTable,
	"memory":      Report.memoryTable,
	"speed":       Report.speedTable,
	"prefill":     Report.prefillTable,
	"depth":       Report.depthTable,
	"quality":     Report.qualityTable,
	"errors":      Report.errorsTable,
	"speculation": Report.speculationTable,
	"concurrency": Report.concurrencyTable,
}

// parts is the order of report.md.
var parts = []struct{ title, table, explanation string }{
	{"Memory", "memory", "Weights are resident once they have been used; processes that map the same file share them. The peak is that of a process " +
		"that opens the file, checks it, reads a prompt of 64 tokens and writes 16."},
	{"Decoding", "speed", "Short texts, one token at a time. The roofline is the rate at which the same threads read the same weights and do nothing else."},
	{"Prefill", "prefill", "Milliseconds to the logits after the last token of a prompt."},
	{"Depth", "depth", "Tokens per second with that many positions of the context in use."},
	{"Quality", "quality", "KL is the mean Kullback-Leibler divergence of the next token's distribution under the first mode from that under this one; top-1 agreement is how often both find the same token most likely."},
	{"Weights", "errors", ""},
	{"Speculative decoding", "speculation", "Texts are the same with and without a draft; the length of a draft changes their speed only. Acceptance is the share of right guesses among those whose forerunners were right."},
	{"Many texts at once", "concurrency", "Tokens per second are of all texts together while all decode, beside single passes over as many tokens, which no scheduler can exceed. Times are of one text, in milliseconds."},
}

// markdown returns report.md.
func (r Report) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Measurements\n\n%s%s\nFigures are medians of %d interleaved rounds, in brackets the quartiles.\n", r.origin(), r.machineTable(), r.Rounds)
	if warning := r.Unsteady(); warning != "" {
		fmt.Fprintf(&text, "\n%s\n", warning)
	}
	for _, p := range parts {
		table := tables[p.table](r)
		if table == "" {
			continue
		}
		fmt.Fprintf(&text, "\n## %s\n\n", p.title)
		if p.explanation != "" {
			fmt.Fprintf(&text, "%s\n\n", p.explanation)
		}
		text.WriteString(table)
		for _, c := range charts {
			if chartParts[c.name] == p.table && len(c.figures(r)) > 0 {
				fmt.Fprintf(&text, "\n![%s](%s.png)\n", c.title, c.name)
			}
		}
	}
	return text.String()
}

// origin says what was measured, by what and when, as far as the report does.
func (r Report) origin() string {
	if len(r.Models) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, by %s on %s.\n\n", strings.Join(r.Models, ", "), r.Tool, r.Date)
}

// chartParts says beside which table a chart stands.
var chartParts = map[string]string{
	"memory": "memory", "tradeoff": "memory", "decode": "speed", "roofline": "speed", "prefill": "prefill", "depth": "depth",
	"perplexity": "quality", "errors": "errors", "speculation": "speculation", "concurrency": "concurrency",
}

// table returns a table of Markdown.
func table(header []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var text strings.Builder
	write := func(cells []string) { fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | ")) }
	write(header)
	rule := []string{"---"}
	for range header[1:] {
		rule = append(rule, "---:")
	}
	write(rule)
	for _, row := range rows {
		write(row)
	}
	return text.String()
}

func (r Report) machineTable() string {
	m := r.Machine
	return fmt.Sprintf("%s, %d cores, %d threads, kernels %s; %s on %s.\n", m.Processor, m.Cores, m.Threads, m.Kernels, m.Go, m.System)
}

func (r Report) memoryTable() string {
	var rows [][]string
	for _, m := range r.Modes {
		peak := "unknown"
		if m.PeakBytes > 0 {
			peak = significant(megabytes(m.PeakBytes)) + " MB"
		}
		rows = append(rows, []string{
			m.Name, significant(megabytes(m.FileBytes)) + " MB", fmt.Sprintf("%.2f", r.ratio(m)), fmt.Sprintf("%.2f", m.BitsPerWeight),
			significant(megabytes(m.WeightBytes)) + " MB", peak,
		})
	}
	return table([]string{"mode", "file", "of " + r.Modes[0].Name, "bits per weight", "weights", "peak"}, rows)
}

func (r Report) speedTable() string {
	header := []string{"mode"}
	for _, n := range shortTexts {
		header = append(header, fmt.Sprintf("%d tokens", n))
	}
	header = append(header, "of the roofline", "roofline")
	var rows [][]string
	for _, m := range r.Modes {
		row := []string{m.Name}
		share := 0.0
		for _, d := range m.Short {
			row = append(row, rate(d.Rate, d.Spread.Low, d.Spread.High))
			share = d.OfRoofline
		}
		for len(row) < len(header)-2 {
			row = append(row, "")
		}
		rows = append(rows, append(row, fmt.Sprintf("%.0f %%", 100*share), fmt.Sprintf("%.1f GB/s", m.Roofline)))
	}
	return table(header, rows)
}

func rate(median, low, high float64) string {
	return fmt.Sprintf("%s tok/s (%s to %s)", significant(median), significant(low), significant(high))
}

func (r Report) prefillTable() string {
	var header []string
	var rows [][]string
	for _, m := range r.Modes {
		names, row := []string{"mode"}, []string{m.Name}
		for _, p := range m.Prefill {
			names = append(names, fmt.Sprintf("%d tokens", p.Tokens))
			row = append(row, significant(1000*float64(p.Tokens)/p.Rate)+" ms")
		}
		if len(names) > len(header) {
			header = names
		}
		rows = append(rows, row)
	}
	return table(header, pad(rows, len(header)))
}

func (r Report) depthTable() string {
	var header []string
	var rows [][]string
	for _, m := range r.Modes {
		names, row := []string{"mode"}, []string{m.Name}
		for _, d := range m.Deep {
			names = append(names, fmt.Sprintf("at %d", d.Depth))
			row = append(row, rate(d.Rate, d.Spread.Low, d.Spread.High))
		}
		if len(names) > len(header) {
			header = names
		}
		rows = append(rows, row)
	}
	return table(header, pad(rows, len(header)))
}

// pad fills rows up with empty cells.
func pad(rows [][]string, length int) [][]string {
	for i := range rows {
		for len(rows[i]) < length {
			rows[i] = append(rows[i], "")
		}
	}
	return rows
}

func (r Report) qualityTable() string {
	var rows [][]string
	for _, m := range r.Modes {
		if q := m.Quality; q != nil {
			rows = append(rows, []string{
				m.Name, grouped(fmt.Sprint(m.FileBytes)), fmt.Sprintf("%.2f", m.BitsPerWeight), fmt.Sprintf("%.4f", q.Perplexity), fmt.Sprintf("%+.2f %%", 100*q.Rise),
				fmt.Sprintf("%.5f", q.Divergence), fmt.Sprintf("%.1f %%", 100*q.Agreement),
			})
		}
	}
	return table([]string{"mode", "bytes", "bits per weight", "perplexity of " + r.Text, "rise", "KL, nats", "top-1 agreement"}, rows)
}

func (r Report) errorsTable() string {
	var rows [][]string
	for _, e := range r.Errors {
		rows = append(rows, []string{
			e.Mode, e.Encoding, shapeName(e.Shape), fmt.Sprint(e.Matrices), fmt.Sprintf("%.3f %%", 100*e.Relative),
			fmt.Sprintf("%.3g", e.RMSE), fmt.Sprintf("%.3g", e.Max), fmt.Sprintf("%.1f dB", e.SQNR),
		})
	}
	return table([]string{"mode", "encoding", "shape", "matrices", "mean error / mean weight", "RMSE", "max", "SQNR"}, rows)
}

func (r Report) speculationTable() string {
	s := r.Speculation
	if s == nil {
		return ""
	}
	var rows [][]string
	for _, row := range s.Rows {
		acceptance := ""
		if row.Length >= 0 {
			acceptance = fmt.Sprintf("%.0f %%", 100*row.Acceptance)
		}
		rows = append(rows, []string{
			row.Name, rate(row.Rate, row.RateLow, row.RateHigh), fmt.Sprintf("%.2f", row.Speedup), acceptance, fmt.Sprintf("%.2f", row.PassesPerToken),
		})
	}
	return table([]string{fmt.Sprintf("%s, draft %s", s.Target, s.Draft), "speed", "speed-up", "acceptance", "target passes per token"}, rows)
}

func (r Report) concurrencyTable() string {
	c := r.Concurrency
	if c == nil {
		return ""
	}
	var rows [][]string
	for _, row := range c.Rows {
		prompts := "their own"
		if row.Shared {
			prompts = "begin alike"
		}
		rows = append(rows, []string{
			fmt.Sprint(row.Texts), prompts, rate(row.Decode.Median, row.Decode.Low, row.Decode.High), fmt.Sprintf("%.0f %%", 100*row.OfOnePass),
			fmt.Sprintf("%s, %s", significant(row.FirstToken.P50), significant(row.FirstToken.P99)),
			fmt.Sprintf("%s, %s", significant(row.Gap.P50), significant(row.Gap.P99)),
		})
	}
	return table([]string{"texts, " + c.Mode, "prompts", "together", "of single passes", "first token: half, 99 of 100 within", "gaps: half, 99 of 100 within"}, rows)
}
