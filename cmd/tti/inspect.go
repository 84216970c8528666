package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/packed"
)

// inspection is the object of inspect --json.
type inspection struct {
	File            string             `json:"file"`
	Bytes           int64              `json:"bytes"`                  // of the .tti file
	PackedBytes     int64              `json:"packed_bytes,omitempty"` // of a packed file
	Format          string             `json:"format"`                 // version of the container
	Architecture    string             `json:"architecture"`
	Hyperparameters json.RawMessage    `json:"hyperparameters"`
	Mode            string             `json:"mode"`
	Tool            string             `json:"tool"`
	Specification   string             `json:"specification"`
	Sources         map[string]string  `json:"sources"` // SHA-256 by file name
	IndexChecksum   string             `json:"index_checksum"`
	Generation      *format.Generation `json:"generation,omitempty"`
	Tokenizer       *tokenizerParts    `json:"tokenizer,omitempty"`
	Encodings       []total            `json:"encodings"`
	Total           total              `json:"total"`
	Sections        []sectionEntry     `json:"sections"`
	Errors          []matrixErrors     `json:"errors,omitempty"` // of --errors
}

type sectionEntry struct {
	Name          string  `json:"name"`
	Kind          string  `json:"kind"`
	Encoding      string  `json:"encoding"`
	Shape         []int   `json:"shape"`
	Offset        int64   `json:"offset"`
	Bytes         int64   `json:"bytes"`
	BitsPerWeight float64 `json:"bits_per_weight,omitempty"` // of tensors
	Checksum      string  `json:"checksum"`                  // XXH64, as the index has it
}

// total sums up tensors.
type total struct {
	Encoding      string  `json:"encoding"`
	Tensors       int     `json:"tensors"`
	Weights       int64   `json:"weights"`
	Bytes         int64   `json:"bytes"`
	BitsPerWeight float64 `json:"bits_per_weight"`
}

func (t *total) add(s format.Section) {
	t.Tensors++
	t.Weights += weights(s)
	t.Bytes += s.Length
	t.BitsPerWeight = bitsPerWeight(t.Bytes, t.Weights)
}

// tally sums up the tensors of each encoding, in the order in which encodings first occur, and all
// of them.
func tally(sections []format.Section) (encodings []total, all total) {
	all.Encoding = "all"
	for _, s := range sections {
		if s.Kind != format.KindTensor {
			continue
		}
		name := s.Encoding.String()
		i := slices.IndexFunc(encodings, func(t total) bool { return t.Encoding == name })
		if i < 0 {
			i, encodings = len(encodings), append(encodings, total{Encoding: name})
		}
		encodings[i].add(s)
		all.add(s)
	}
	return encodings, all
}

// weights returns the number of weights of a tensor, without padding.
func weights(s format.Section) int64 {
	n := int64(1)
	for _, dimension := range s.Shape {
		n *= int64(dimension)
	}
	return n
}

func bitsPerWeight(bytes, weights int64) float64 { return float64(8*bytes) / float64(max(weights, 1)) }

func newInspect() *cobra.Command {
	var tensors, template, asJSON bool
	var source string
	var modes modeFlags
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a .tti file",
		Long: `Show a model's architecture, hyper-parameters and sources, and how its tensors are encoded. The
checksums shown are those the file states; tti verify compares them with the contents. Of a packed
file only the first frames are unpacked, to memory.

With --errors the weight matrices are compared with those of the model that the file was made from, by
their shape: the mean absolute error as a part of the mean absolute weight, the root of the mean
squared error, the largest error, and the signal-to-quantization-noise ratio.` + hubHelp,
		Example: `  tti inspect fable.tti
  tti inspect fable.tti --tensors
  tti inspect fable-int4.tti --errors testdata/fable
  tti inspect fable.tti --json | jq .total.bits_per_weight`,
		Args:              exactly("MODEL"),
		ValidArgsFunction: completeExtensions("tti", "zst"),
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			path, err := modes.file(ctx, cmd, args[0])
			if err != nil {
				return err
			}
			file, err := openContainer(path)
			if err != nil {
				return err
			}
			defer file.Close()
			found, err := inspect(file)
			if err != nil {
				return err
			}
			if source != "" {
				if found.Errors, err = measureErrors(ctx, cmd, file, source); err != nil {
					return err
				}
			}
			switch {
			case asJSON:
				return writeJSON(cmd.OutOrStdout(), found)
			case template:
				return found.writeTemplate(cmd.OutOrStdout())
			}
			text, err := found.text(tensors)
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), text)
		}),
	}
	cmd.Flags().StringVar(&source, "errors", "", "compare the weights with the model `SRC`, a directory or hub id")
	cmd.Flags().BoolVar(&tensors, "tensors", false, "list every section")
	cmd.Flags().BoolVar(&template, "template", false, "print the chat template and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object, every section included")
	modes.registerHub(cmd)
	return cmd
}

func inspect(file container) (inspection, error) {
	meta, err := file.Meta()
	if err != nil {
		return inspection{}, err
	}
	major, minor := file.Version()
	found := inspection{
		File:            file.Path(),
		Bytes:           file.Size(),
		Format:          fmt.Sprintf("%d.%d", major, minor),
		Architecture:    meta.Architecture,
		Hyperparameters: meta.Hyperparameters,
		Mode:            meta.Mode,
		Tool:            meta.Tool,
		Specification:   meta.Specification,
		Sources:         meta.Sources,
		IndexChecksum:   checksum(file.IndexChecksum()),
		Generation:      meta.Generation,
	}
	if found.Tokenizer, err = inspectTokenizer(file); err != nil {
		return inspection{}, err
	}
	if packed, ok := file.(*packed.File); ok {
		found.PackedBytes = packed.PackedSize()
	}
	found.Encodings, found.Total = tally(file.Sections())
	for _, s := range file.Sections() {
		entry := sectionEntry{
			Name: s.Name, Kind: s.Kind.String(), Encoding: s.Encoding.String(), Shape: s.Shape,
			Offset: s.Offset, Bytes: s.Length, Checksum: checksum(s.Checksum),
		}
		if s.Kind == format.KindTensor {
			entry.BitsPerWeight = bitsPerWeight(s.Length, weights(s))
		}
		found.Sections = append(found.Sections, entry)
	}
	return found, nil
}

func checksum(sum uint64) string { return fmt.Sprintf("%016x", sum) }

// text returns the tables of a human reader.
func (i inspection) text(tensors bool) (string, error) {
	var text strings.Builder
	if err := i.writeHead(&text); err != nil {
		return "", err
	}
	text.WriteString("\n")
	i.writeTotals(&text)
	text.WriteString("\n")
	if i.Errors != nil {
		writeErrors(&text, i.Errors)
		text.WriteString("\n")
	}
	i.writeSections(&text, tensors)
	return text.String(), nil
}

func (i inspection) writeHead(w io.Writer) error {
	// Numbers stay as they are written.
	var parameters map[string]json.RawMessage
	if err := json.Unmarshal(i.Hyperparameters, &parameters); err != nil {
		return fmt.Errorf("%s: hyperparameters: %w", i.File, err)
	}
	table := newTable(w, 0)
	size := func(bytes int64) string { return fmt.Sprintf("%s (%s bytes)", humanSize(bytes), grouped(bytes)) }
	lines := [][2]string{{"file", i.File}, {"size", size(i.Bytes)}}
	if i.PackedBytes > 0 {
		lines = append(lines, [2]string{"packed", fmt.Sprintf("%s, %.1f %%", size(i.PackedBytes), 100*float64(i.PackedBytes)/float64(i.Bytes))})
	}
	for _, line := range append(lines, [][2]string{
		{"format", i.Format},
		{"architecture", i.Architecture},
		{"mode", modeText(i.Mode)},
		{"written by", fmt.Sprintf("%s, specification %s", i.Tool, i.Specification)},
		{"index checksum", i.IndexChecksum},
	}...) {
		fmt.Fprintf(table, "%s\t%s\n", line[0], printable(line[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		fmt.Fprintf(table, "%s\t%s\n", printable(name), printable(string(parameters[name])))
	}
	for _, line := range i.Tokenizer.lines() {
		fmt.Fprintf(table, "%s\t%s\n", line[0], printable(line[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(i.Sources)) {
		fmt.Fprintf(table, "%s\tsha256 %s\n", printable(name), i.Sources[name])
	}
	return table.Flush()
}

// scopes say which matrices the modes are for whose names say nothing of the others.
var scopes = []struct{ mode, matrices string }{
	{"int4-blocks", "MLP and attention int4, embedding int8"},
	{"int4-all", "all matrices int4"},
	{"int4", "MLP int4, attention and embedding int8"},
}

// modeText returns a mode with what it means.
func modeText(mode string) string {
	for _, scope := range scopes {
		if rest, ok := strings.CutPrefix(mode, scope.mode); ok && (rest == "" || strings.HasPrefix(rest, "-calibrated")) {
			return fmt.Sprintf("%s (%s)", mode, scope.matrices)
		}
	}
	return mode
}

func (i inspection) writeTotals(w io.Writer) {
	table := newTable(w, tabwriter.AlignRight)
	fmt.Fprintln(table, "encoding\ttensors\tweights\tsize\tbits per weight\t")
	for _, t := range append(slices.Clone(i.Encodings), i.Total) {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%.2f\t\n", t.Encoding, t.Tensors, grouped(t.Weights), humanSize(t.Bytes), t.BitsPerWeight)
	}
	table.Flush()
}

// writeSections lists the sections, or only those that are no tensors.
func (i inspection) writeSections(w io.Writer, tensors bool) {
	table := newTable(w, 0)
	fmt.Fprintln(table, "section\tkind\tencoding\tshape\tsize\tbits per weight\tchecksum")
	for _, s := range i.Sections {
		bits := "-"
		if s.Kind == format.KindTensor.String() {
			if !tensors {
				continue
			}
			bits = fmt.Sprintf("%.2f", s.BitsPerWeight)
		}
		shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Shape), " ", " x "), "[]")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(s.Name), s.Kind, s.Encoding, shape, humanSize(s.Bytes), bits, s.Checksum)
	}
	table.Flush()
}

func newTable(w io.Writer, flags uint) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', flags)
}
