package forward

import "github.com/tti-llm/tti/format/guardtest"

// MoveWorkspaces moves all memory of the pass that is not its caller's between pages that cannot be touched, and returns
// in how many slices it was.
func (p *Pass) MoveWorkspaces(memory *guardtest.Memory) int {
	segments, logits := p.segments, p.logits
	all, wanted := p.all, p.wanted // of which spans are views of its caller's pages
	p.segments, p.logits, p.all, p.wanted = nil, nil, plan{}, plan{}
	defer func() { p.segments, p.logits, p.all, p.wanted = segments, logits, all, wanted }()
	return guardtest.Move(memory, p)
}
