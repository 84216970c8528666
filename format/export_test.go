package format

import "context"

// VerifySection checks one section and the gap behind it.
func (f *File) VerifySection(ctx context.Context, s Section) error {
	return f.verifySection(ctx, s, newMeter(f.sections, nil))
}
