// Package arithmetic has the constants of the definitions in package kernels, for all generators. The kernels' tests hold what
// is generated to the definitions, and with it these to those.
package arithmetic

// Of exp.go.
const (
	Log2E   = 1.44269504088896341
	Ln2High = 0.693359375
	Ln2Low  = -2.12194440054690583e-4
	ExpP0   = 0.49999999999999983
	ExpP1   = 0.16666576989698692
	ExpP2   = 0.041666554617213226
	ExpP3   = 0.00836317905272642
	ExpP4   = 0.0013926183586787642
	ExpMin  = -87.33654
	ExpMax  = 88.72283

	ExpM1Min = -20
)

// Of the forms of GELU in reference_rows.go.
const (
	GELUTanh1 = 1.5957691216057308
	GELUTanh3 = GELUTanh1 * 0.044715

	ErfP  = 0.3275911
	ErfA1 = 0.254829592
	ErfA2 = -0.284496736
	ErfA3 = 1.421413741
	ErfA4 = -1.453152027
	ErfA5 = 1.061405429
)

// MinQuantized is the limit of reference_quantize.go.
const MinQuantized = 0x1p-120
