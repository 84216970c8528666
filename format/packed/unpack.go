package packed

import (
	"context"
	"fmt"
	"os"

	"github.com/tti-llm/tti/format"
)

// Unpack restores the .tti file that is packed in source to target, byte for byte, and verifies it
// completely before it bears its name. The target appears whole or not at all, see format.Replace.
func Unpack(ctx context.Context, source, target string, o Options) error {
	if err := unpackFile(ctx, source, target, o); err != nil {
		return fmt.Errorf("unpack %s: %w", source, err)
	}
	return nil
}

func unpackFile(ctx context.Context, source, target string, o Options) error {
	file, size, err := format.OpenRegular(source)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := differ(file, target); err != nil {
		return err
	}
	f, err := newFile(file, size, o)
	if err != nil {
		return err
	}
	defer f.Close()
	return format.Replace(target, o.NoSync, func(out *os.File) error {
		// The full length at once, as frames are not written in order.
		if err := out.Truncate(f.Size()); err != nil {
			return err
		}
		return f.verify(ctx, out, o.Progress)
	})
}
