// Package cached keeps .tti files of synthetic models: one is made when it is first asked for.
package cached

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
)

// File returns the path of a model of one of the sizes of synthetic.Models with random
// weights. It is made in directory once and found there afterwards, if this program's version wrote it and it is whole.
func File(ctx context.Context, directory, size string, o convert.Options) (string, error) {
	model, ok := synthetic.Models[size]
	if !ok {
		return "", fmt.Errorf("synthetic model %q is unknown", size)
	}
	mode, err := o.ModeName()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(directory, 0o777); err != nil {
		return "", err
	}
	target := filepath.Join(directory, size+"-"+mode+".tti")
	if usable(ctx, target) {
		return target, nil
	}
	source, err := os.MkdirTemp(directory, size+"-source-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(source)
	if err := synthetic.Write(ctx, source, model); err != nil {
		return "", fmt.Errorf("write synthetic model: %w", err)
	}
	return target, convert.Convert(ctx, source, target, o)
}

// usable reports whether path is a whole file that this version of the program has written.
func usable(ctx context.Context, path string) bool {
	file, err := format.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	meta, err := file.Meta()
	return err == nil && meta.Tool == convert.Tool && file.Verify(ctx, nil) == nil
}
