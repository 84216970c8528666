package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
)

// matrixErrors compares all matrices of one shape and encoding with their source.
type matrixErrors struct {
	Encoding string   `json:"encoding"`
	Shape    [2]int   `json:"shape"` // [out, in]
	Matrices int      `json:"matrices"`
	Relative float64  `json:"relative"` // mean |error| / mean |weight|
	RMSE     float64  `json:"rmse"`
	Max      float64  `json:"max"`
	SQNR     *float64 `json:"sqnr_db"` // null where nothing is lost
}

// measureErrors compares a file with the model it was made from.
func measureErrors(ctx context.Context, cmd *cobra.Command, file container, name string) ([]matrixErrors, error) {
	mapped, ok := file.(*format.File)
	if !ok {
		return nil, fmt.Errorf("%s: %w: its weights cannot be compared, run \"tti unpack %[1]s\" first", file.Path(), format.ErrPacked)
	}
	source, err := resolve(ctx, cmd, name)
	if err != nil {
		return nil, err
	}
	shapes, err := convert.MeasureErrors(ctx, mapped, source)
	if err != nil {
		return nil, about(file.Path(), err)
	}
	errors := []matrixErrors{}
	for _, s := range shapes {
		e := matrixErrors{Encoding: s.Encoding.String(), Shape: s.Shape, Matrices: s.Matrices, Relative: s.Relative(), RMSE: s.RMSE(), Max: s.Max}
		if s.Max > 0 {
			ratio := s.SQNR()
			e.SQNR = &ratio
		}
		errors = append(errors, e)
	}
	return errors, nil
}

// writeErrors writes the table of a human reader.
func writeErrors(w io.Writer, errors []matrixErrors) {
	table := newTable(w, tabwriter.AlignRight)
	fmt.Fprintln(table, "encoding\tmatrices\tshape\tmean|e|/mean|w|\tRMSE\tmax\tSQNR\t")
	for _, e := range errors {
		ratio := "exact"
		if e.SQNR != nil {
			ratio = fmt.Sprintf("%.1f dB", *e.SQNR)
		}
		fmt.Fprintf(table, "%s\t%d\t%d x %d\t%.3f %%\t%.3g\t%.3g\t%s\t\n", e.Encoding, e.Matrices, e.Shape[0], e.Shape[1], 100*e.Relative, e.RMSE, e.Max, ratio)
	}
	table.Flush()
}
