package hub

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Reference names a model on the hub at a revision.
type Reference struct {
	Repository string // "gpt2" or "organization/name"
	Revision   string // branch, tag, pull request or commit; empty means DefaultRevision
}

// DefaultRevision is the branch every repository on the hub has.
const DefaultRevision = "main"

// repositoryPart is what the hub allows in the name of an organization or a model: letters, digits,
// '-', '_' and '.', the first and last of them no '-' or '.'.
var repositoryPart = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

// commitHash is a full git commit, in SHA-1 or SHA-256.
var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// IsCommit tells whether a revision is a commit, whose files never change.
func IsCommit(revision string) bool { return commitHash.MatchString(revision) }

// ParseReference reads "name", "organization/name", each optionally followed by "@revision", and the address of a
// model's page, with https:// or without. It fails, with ErrAddress for an address and
// for whatever the hub would not allow as a name, such as a file path that is absolute or begins with a dot.
func ParseReference(text string) (Reference, error) {
	if path, found, err := cutHost(text); err != nil || found {
		if err != nil {
			return Reference{}, err
		}
		return parsePage(text, path)
	}
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

// hosts are those of the public hub's pages. The short one redirects to the other.
var hosts = []string{"huggingface.co", "www.huggingface.co", "hf.co"}

// cutHost returns what follows the host in an address of the hub, and whether text is one. Addresses of other hosts are an error.
func cutHost(text string) (path string, found bool, err error) {
	bare, scheme := strings.CutPrefix(text, "https://")
	if !scheme {
		bare, scheme = strings.CutPrefix(text, "http://")
	}
	host, path, _ := strings.Cut(bare, "/")
	for _, known := range hosts {
		if strings.EqualFold(host, known) {
			return path, true, nil
		}
	}
	if scheme {
		return "", false, fmt.Errorf("%s: %w: want one of %s or %s", text, ErrAddress, hosts[0], hosts[len(hosts)-1])
	}
	return "", false, nil
}

// views are what a page of the hub can show of a revision, which follows in the address.
var views = []string{"tree", "blob", "resolve", "raw", "commit", "commits"}

// parsePage reads the path of a page: name or organization/name, perhaps with /tree/ and a revision, whose slashes the hub
// escapes, and the file that is shown.
func parsePage(text, path string) (Reference, error) {
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	name, revision := parts, ""
	for i := 1; i <= 2 && i+1 < len(parts); i++ {
		if !slices.Contains(views, parts[i]) {
			continue
		}
		// Some write the slashes of refs/pr/1 as they are.
		shown := parts[i+1:]
		if shown[0] == "refs" && len(shown) >= 3 {
			shown[0] = strings.Join(shown[:3], "/")
		}
		name, revision = parts[:i], shown[0]
		break
	}
	revision, err := url.PathUnescape(revision)
	if err != nil {
		return Reference{}, fmt.Errorf("%s: %w: %w", text, ErrAddress, err)
	}
	r := Reference{Repository: strings.Join(name, "/"), Revision: revision}
	if revision == "" { // an id behind the host
		r.Repository, r.Revision, _ = strings.Cut(r.Repository, "@")
	}
	if err := r.validate(); err != nil {
		return Reference{}, fmt.Errorf("%s: %w: %w", text, ErrAddress, err)
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
		return DefaultRevision
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
