package report

import (
	"context"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
)

// weightErrors compares a converted file with its source. Encodings that lose nothing are left out.
func weightErrors(ctx context.Context, f file) ([]Errors, error) {
	opened, err := format.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	shapes, err := convert.MeasureErrors(ctx, opened, f.source)
	if err != nil {
		return nil, err
	}
	var result []Errors
	for _, s := range shapes {
		if s.Max > 0 {
			result = append(result, Errors{
				Mode: f.name, Encoding: s.Encoding.String(), Shape: s.Shape, Matrices: s.Matrices,
				Relative: s.Relative(), RMSE: s.RMSE(), Max: s.Max, SQNR: s.SQNR(),
			})
		}
	}
	return result, nil
}
