package hub

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// A Reference names a model on the hub at a revision.
type Reference struct {
	Repository string // "gpt2" or "organization/name"
	Revision   string // branch, tag, pull request or commit; empty means "main"
}

// defaultRevision is the branch every repository on the hub has.
const defaultRevision = "main"

// repositoryPart is what the hub allows in the name of an organization or a model: letters, digits,
// '-', '_' and '.', the first and last of them no '-' or '.'.
var repositoryPart = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

// commitHash is a full git commit, in SHA-1 or SHA-256.
var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseReference reads "name", "organization/name", each optionally followed by "@revision". It fails
// for whatever the hub would not allow as a name, such as a file path that is absolute or begins with a dot.
func ParseReference(text string) (Reference, error) {
	repository, revision, pinned := strings.Cut(text, "@")
	r := Reference{Repository: repository, Revision: revision}
	if pinned && revision == "" {
		return Reference{}, fmt.Errorf("hub reference %q: empty revision after @", text)
	}
	if err := r.validate(); err != nil {
		return Reference{}, err
	}
	return r, nil
}

func (r Reference) String() string {
	if r.Revision == "" {
		return r.Repository
	}
	return r.Repository + "@" + r.Revision
}

func (r Reference) revision() string {
	if r.Revision == "" {
		return defaultRevision
	}
	return r.Revision
}

func (r Reference) validate() error {
	parts := strings.Split(r.Repository, "/")
	if len(parts) > 2 || len(r.Repository) > 96 {
		return fmt.Errorf("hub reference %q: want name or organization/name of at most 96 characters", r.String())
	}
	for _, part := range parts {
		// The cache folder joins the parts with "--", so the hub reserves it.
		if !repositoryPart.MatchString(part) || strings.Contains(part, "--") || strings.Contains(part, "..") {
			return fmt.Errorf("hub reference %q: %q is no name the hub allows", r.String(), part)
		}
	}
	// A revision becomes a path below refs/ in the cache.
	if err := checkName(r.revision()); err != nil {
		return fmt.Errorf("hub reference %q: revision: %w", r.String(), err)
	}
	return nil
}

// checkName refuses every name that is not a plain slash-separated path downwards: absolute names, "..",
// backslashes, control characters, and what the operating system reserves. All names that come from
// outside pass here before they become part of a path or a URL.
func checkName(name string) error {
	unsafe := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == ':' })
	if unsafe || name == "." || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("%w %.100q", ErrUnsafeName, name)
	}
	return nil
}
