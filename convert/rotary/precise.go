package rotary

import "math/big"

// precision is the number of bits that logarithms and exponentials are computed with: with half of them to spare, their
// float64 are the nearest ones but for a chance of 2^-70. big.Float rounds alike on all machines; package math does not.
const precision = 128

func number(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

func zero() *big.Float { return new(big.Float).SetPrec(precision) }

// negligible reports whether a term no longer changes a sum.
func negligible(term, sum *big.Float) bool {
	return term.Sign() == 0 || sum.Sign() != 0 && term.MantExp(nil) < sum.MantExp(nil)-precision
}

// logarithm returns ln x of a positive x: with x = m 2^e, ln m + e ln 2, and ln m = 2 artanh((m-1)/(m+1)).
func logarithm(x *big.Float) *big.Float {
	mantissa := zero()
	exponent := x.MantExp(mantissa) // from 1/2 to 1
	result := twiceArtanh(zero().Quo(zero().Sub(mantissa, number(1)), zero().Add(mantissa, number(1))))
	return result.Add(result, zero().Mul(number(float64(exponent)), twiceArtanh(zero().Quo(number(1), number(3)))))
}

// twiceArtanh returns 2 (t + t^3/3 + t^5/5 + ...), for |t| of at most 1/3.
func twiceArtanh(t *big.Float) *big.Float {
	sum, power, square := zero(), zero().Set(t), zero().Mul(t, t)
	for n := 1; ; n += 2 {
		term := zero().Quo(power, number(float64(n)))
		if negligible(term, sum) {
			return sum.Mul(sum, number(2))
		}
		sum.Add(sum, term)
		power.Mul(power, square)
	}
}

// exponential returns e^x: the series of x / 2^k, squared k times.
func exponential(x *big.Float) *big.Float {
	k := max(0, x.MantExp(nil)+8)
	r := zero().SetMantExp(x, -k)
	sum, term := number(1), number(1)
	for n := 1; !negligible(term, sum); n++ {
		term.Quo(term.Mul(term, r), number(float64(n)))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// ln returns the logarithm of a positive number.
func ln(x float64) float64 {
	y, _ := logarithm(number(x)).Float64()
	return y
}

// pow returns base^(numerator/denominator) of a positive base.
func pow(base float64, numerator, denominator int) float64 {
	exponent := zero().Quo(number(float64(numerator)), number(float64(denominator)))
	y, _ := exponential(exponent.Mul(exponent, logarithm(number(base)))).Float64()
	return y
}
