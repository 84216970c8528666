package spec

// Statistics counts what became of the guesses for one text.
type Statistics struct {
	Prefilled    int            // tokens of the prompt that were run; the others were there from the text before
	Tokens       int            // generated
	TargetPasses int            // of the target model, the one over the prompt included
	Drafts       int            // passes that checked guesses
	Drafted      int            // guesses that were checked
	Accepted     int            // guesses that became tokens of the text
	Rejected     int            // guesses that proved wrong; those after a wrong one were checked in vain
	ByOrigin     map[Origin]int // tokens of the text

	// DraftError is why a drafter was not asked again, nil if it never failed. The text does not
	// depend on it.
	DraftError error
}

func (s *Statistics) count(origin Origin, rejected bool) {
	s.Tokens++
	s.ByOrigin[origin]++
	if origin != FromTarget {
		s.Accepted++
	}
	if rejected {
		s.Rejected++
	}
}

// AcceptanceRate is the probability that a guess proves right where all before it in the draft
// did: accepted / (accepted + rejected).
func (s Statistics) AcceptanceRate() float64 { return ratio(s.Accepted, s.Accepted+s.Rejected) }

// MeanAcceptedLength is how many guesses of a draft became tokens on average.
func (s Statistics) MeanAcceptedLength() float64 { return ratio(s.Accepted, s.Drafts) }

// PassesPerToken is how often the target ran for a token on average: 1 for plain decoding.
func (s Statistics) PassesPerToken() float64 { return ratio(s.TargetPasses, s.Tokens) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
