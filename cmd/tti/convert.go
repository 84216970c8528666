package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format"
)

// modeFlags choose how a model's weights are encoded.
type modeFlags struct {
	mode, int4 choice
}

// int4Modes are names of mode int4 with a scope, as files and charts have them.
var int4Modes = map[string]convert.Scope{
	string(convert.Int4) + "-" + string(convert.Blocks): convert.Blocks,
	string(convert.Int4) + "-" + string(convert.All):    convert.All,
}

func (f *modeFlags) register(cmd *cobra.Command) {
	f.registerMode(cmd, "how weight matrices are encoded (int4: those of the MLPs, the others being int8; int4-blocks: attention's too; int4-all: all)")
	f.int4 = choice{"", []string{string(convert.MLP), string(convert.Blocks), string(convert.All)}}
	f.int4.register(cmd, "int4", "the same choice for mode int4: --mode int4 --int4 all is --mode int4-all")
}

// registerMode adds --mode alone.
func (f *modeFlags) registerMode(cmd *cobra.Command, usage string) {
	names := []string{string(convert.F32), string(convert.F16), string(convert.Int8), string(convert.Int4)}
	f.mode = choice{string(convert.Int8), append(names, slices.SortedFunc(maps.Keys(int4Modes), func(a, b string) int { return len(b) - len(a) })...)}
	f.mode.register(cmd, "mode", usage)
}

// options returns the flags as options, or the error of a scope without its mode.
func (f *modeFlags) options(cmd *cobra.Command) (convert.Options, error) {
	mode, scope := convert.Mode(f.mode.value), convert.Scope(f.int4.value)
	if named, ok := int4Modes[f.mode.value]; ok && (scope == "" || scope == named) {
		mode, scope = convert.Int4, named
	}
	if scope != "" && mode != convert.Int4 {
		return convert.Options{}, usagef(cmd, "--int4 %s belongs to --mode int4, the mode is %s", scope, mode)
	}
	return convert.Options{Mode: mode, Int4: scope}, nil
}

func newConvert() *cobra.Command {
	var modes modeFlags
	var target, text string
	cmd := &cobra.Command{
		Use:   "convert SRC",
		Short: "Pack a HuggingFace model directory into one .tti file",
		Long: `Pack a HuggingFace model into one .tti file. SRC is a directory with config.json, the weights as
safetensors and the vocabulary, or the hub's id of a model or the address of its page; a directory of that name wins. A .tti file of mode f32 or f16 is taken
too: what comes of f32 is the same file as from the model's source.

--calibrate rounds int8 and int4 weights by a text of the kind that the model is for, some ten thousands
of words: what matrices make of the text should change little. It takes minutes for a model of GPT-2's
size, and makes int4 lose less than half of what it loses otherwise.

The target appears whole or not at all: an existing one stays as it was until the new one is
complete. The same source and mode always give the same bytes.`,
		Example: `  tti convert testdata/fable
  tti convert gpt2 --mode int4
  tti convert gpt2 --mode int4 --calibrate wiki.txt
  tti convert gpt2-f32.tti --mode int4-all
  tti convert openai-community/gpt2@main --mode int4-all -o gpt2.tti`,
		Args: exactly("SRC"),
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := checkOutput(cmd, target); err != nil {
				return err
			}
			options, err := modes.options(cmd)
			if err != nil {
				return err
			}
			if text != "" && options.Mode != convert.Int8 && options.Mode != convert.Int4 {
				return usagef(cmd, "--calibrate belongs to --mode int8 or int4, the mode is %s", options.Mode)
			}
			mode, err := options.ModeName()
			if err != nil {
				return err
			}
			if text != "" {
				mode += "-calibrated"
				if options.Calibrate, err = readCalibration(cmd, text); err != nil {
					return err
				}
			}
			if !cmd.Flags().Changed("output") {
				if target, err = defaultTarget(args[0], "-"+mode); err != nil {
					return err
				}
			}
			// Before the download, which may take long.
			if err := format.CheckTarget(target); err != nil {
				return fmt.Errorf("convert %s: write %s: %w", args[0], target, err)
			}
			w, err := newWork(ctx, cmd, args[0])
			if err != nil {
				return err
			}
			return w.run(ctx, cmd, target, options)
		}),
	}
	modes.register(cmd)
	cmd.Flags().StringVarP(&target, "output", "o", "", "the `FILE` to write (default NAME-MODE.tti in the current directory)")
	cmd.MarkFlagFilename("output", "tti")
	cmd.Flags().StringVar(&text, "calibrate", "", "round weights by the text in `FILE`, - for standard input")
	cmd.MarkFlagFilename("calibrate")
	return cmd
}

func readCalibration(cmd *cobra.Command, path string) (*convert.Calibration, error) {
	text, err := readText(cmd, path)
	if err != nil {
		return nil, err
	}
	return &convert.Calibration{Text: text}, nil
}

// resolve finds the directory of the source, which may take a download.
func resolve(ctx context.Context, cmd *cobra.Command, name string) (convert.Source, error) {
	source, err := download(cmd, name, func(d convert.Download) (convert.Source, error) { return convert.Resolve(ctx, name, d) })
	if err != nil {
		return source, fmt.Errorf("convert %s: %w", name, err)
	}
	return source, nil
}

// download lets find bring a source, and shows what is downloaded and how that goes on.
func download(cmd *cobra.Command, name string, find func(convert.Download) (convert.Source, error)) (convert.Source, error) {
	show := func() *progress { return newProgress(cmd.ErrOrStderr(), "downloading", true) }
	bar := show()
	defer func() { bar.close() }()
	// What an earlier download has left is not counted, lest it make this one look fast.
	sizes, present, before := map[string]int64{}, map[string]int64{}, map[string]int64{}
	source, err := find(convert.Download{
		Plan: func(p hub.Plan) {
			if p.Present == p.Bytes { // those of another revision are the same
				return
			}
			bar.close()
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: downloading %s\n", printable(name), planned(p))
			bar = show()
		},
		Progress: func(file string, done, total int64) {
			if _, known := sizes[file]; !known {
				before[file] = done
			}
			sizes[file], present[file], before[file] = total, done, min(before[file], done)
			bar.set(sum(present)-sum(before), sum(sizes)-sum(before))
		},
	})
	if err != nil {
		return source, err
	}
	bar.close()
	if source.Unconfirmed != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "tti: %s: the hub cannot be asked (%s); the cached commit %.7s is used\n",
			name, oneLine(source.Unconfirmed), source.Commit)
	}
	return source, nil
}

// planned says what is going to be downloaded.
func planned(p hub.Plan) string {
	text := humanSize(p.Bytes)
	if p.Present > 0 {
		text = fmt.Sprintf("%s, the rest of %s", humanSize(p.Bytes-p.Present), text)
	}
	return fmt.Sprintf("%s of weights, %s, to HuggingFace's cache", text, counted(p.Files, "file"))
}

func sum(counts map[string]int64) (total int64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// defaultTarget returns NAME-MODE.tti for a directory .../NAME, a model ORG/NAME of the hub or a file NAME-f32.tti.
func defaultTarget(source, suffix string) (string, error) {
	if r, err := hub.ParseReference(source); err == nil {
		if _, err := os.Stat(source); err != nil {
			source = r.Repository
		}
	}
	path, err := filepath.Abs(source) // which gives "." and ".." a name
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(filepath.Base(path), "@")
	if bare, ok := strings.CutSuffix(name, ".tti"); ok {
		name = strings.TrimSuffix(strings.TrimSuffix(bare, "-f32"), "-f16")
	}
	return name + suffix + ".tti", nil
}

// work is a conversion that is ready to be done.
type work struct {
	name, place string // of the source, and where that was found
	convert     func(ctx context.Context, target string, o convert.Options) error
}

// newWork finds the source: a .tti file, a directory, or a model on the hub, which takes a download.
func newWork(ctx context.Context, cmd *cobra.Command, name string) (work, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		if err := checkFile(name); err != nil {
			return work{}, err
		}
		return work{name, "file " + name, func(ctx context.Context, target string, o convert.Options) error {
			return convert.Repack(ctx, name, target, o)
		}}, nil
	}
	source, err := resolve(ctx, cmd, name)
	if err != nil {
		return work{}, err
	}
	return workOn(source), nil
}

// workOn is the conversion of a model that has been found.
func workOn(source convert.Source) work {
	place := "the hub's cache"
	if source.Local {
		place = "local directory " + source.Directory
	}
	return work{source.Name, place, source.Convert}
}

func (w work) run(ctx context.Context, cmd *cobra.Command, target string, o convert.Options) error {
	start := time.Now()
	bar := newProgress(cmd.ErrOrStderr(), "converting", true)
	o.Progress = bar.set
	o.Notice = func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "tti: %s: %s\n", printable(w.name), text) }
	if o.Calibrate != nil {
		rounding := newProgress(cmd.ErrOrStderr(), "rounding weights", false)
		defer rounding.close()
		o.Calibrate.Progress = rounding.set
	}
	err := w.convert(ctx, target, o)
	bar.close()
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	file, err := format.Open(target)
	if err != nil {
		return err
	}
	defer file.Close()
	_, all := tally(file.Sections())
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, %.2f bits per weight, from %s in %.1f s\n",
		printable(target), humanSize(file.Size()), all.BitsPerWeight, printable(w.place), elapsed.Seconds())
	return nil
}
