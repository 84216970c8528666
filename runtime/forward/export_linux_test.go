package forward

import "github.com/tti-llm/tti/format/guardtest"

// MoveWorkspaces moves all memory of the pass that is not its caller's between pages that cannot be touched, and returns
// in how many slices it was.
func (p *Pass) MoveWorkspaces(memory *guardtest.Memory) int {
	segments, logits := p.segments, p.logits
	p.segments, p.logits = nil, nil
	defer func() { p.segments, p.logits = segments, logits }()
	return guardtest.Move(memory, p)
}
