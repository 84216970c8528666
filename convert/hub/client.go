package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/strictjson"
)

const (
	defaultEndpoint = "https://huggingface.co"
	// defaultParallel is the number of files huggingface_hub downloads at once.
	defaultParallel = 8
)

// A Client fetches models from one hub into one cache. Its zero value uses the public hub, the cache in
// ~/.cache/huggingface/hub and no token; [FromEnvironment] returns one set up as the user has asked
// huggingface_hub to be. A Client may be used by several goroutines at once.
type Client struct {
	Endpoint string // address of the hub; empty: https://huggingface.co
	Cache    string // directory of the cache; empty: ~/.cache/huggingface/hub
	Token    string // sent to Endpoint only; empty: none
	Offline  bool   // use the cache and ask no server
	Parallel int    // files downloaded at once; 0: 8

	// Accept, if not nil, is called before weights are downloaded. An error of it ends Fetch.
	Accept func(Plan) error

	timing *timing // nil: defaultTiming
}

// A Plan is the weights that a Fetch is going to download.
type Plan struct {
	Directory string // of the snapshot, which holds everything else by now
	Commit    string // hash
	Files     int
	Bytes     int64 // of the files
	Present   int64 // of these, what an earlier download has left
}

// Progress is told how many of a file's total bytes are in place. The first call for a file comes before
// any of its bytes are downloaded; its done is what an earlier, interrupted download left. done falls back to
// 0 if a download has to start anew. Files that are in the cache are not reported. Calls never overlap.
type Progress func(file string, done, total int64)

// A Snapshot is a model's files at one commit, in the cache, each of them whole.
type Snapshot struct {
	Directory string   // absolute; belongs to HuggingFace's cache, so nothing in it may be changed
	Commit    string   // hash
	Files     []string // slash-separated, relative to Directory
	// Unconfirmed is nil if the hub said what the revision stands for now. If it could not be reached
	// but the cache holds the revision as it was, this is the reason. It is nil when Client.Offline is set.
	Unconfirmed error
}

// Fetch returns the model's files in the cache, after downloading those that are missing: the
// configuration, the safetensors weights in one file or in shards, the vocabulary, and what there is on special
// tokens and generation. Canceling ctx interrupts it at once; what has been downloaded is kept, and the next
// Fetch continues there. progress may be nil.
func (c *Client) Fetch(ctx context.Context, r Reference, progress Progress) (Snapshot, error) {
	snapshot, err := c.fetch(ctx, r, progress)
	if err != nil {
		return Snapshot{}, fmt.Errorf("hub %s: %w", r, err)
	}
	return snapshot, nil
}

func (c *Client) fetch(ctx context.Context, r Reference, progress Progress) (Snapshot, error) {
	if err := r.validate(); err != nil {
		return Snapshot{}, err
	}
	folder, err := c.folder(r)
	if err != nil {
		return Snapshot{}, err
	}
	cached, missing := folder.cached(r.revision())
	if c.Offline {
		if missing != nil {
			return Snapshot{}, fmt.Errorf("%w: %w", ErrOffline, missing)
		}
		return cached, nil
	}

	s, err := c.newSession(r, folder, progress)
	if err != nil {
		return Snapshot{}, err
	}
	defer s.http.CloseIdleConnections()
	attempts := s.timing.attempts
	if missing == nil {
		attempts = 1 // With a model at hand, nobody should wait for a hub that does not answer.
	}
	commit, names, err := s.list(ctx, attempts)
	if unreachable := (*transientError)(nil); missing == nil && errors.As(err, &unreachable) {
		cached.Unconfirmed = err
		return cached, nil
	}
	if err != nil {
		return Snapshot{}, err
	}
	return s.complete(ctx, commit, names)
}

// Commit returns the commit that the revision stands for: a commit itself, or what the hub says now. The hub is
// asked once, and not again if it does not answer. If Client.Offline is set, what the cache knows counts.
func (c *Client) Commit(ctx context.Context, r Reference) (string, error) {
	commit, err := c.commit(ctx, r)
	if err != nil {
		return "", fmt.Errorf("hub %s: %w", r, err)
	}
	return commit, nil
}

func (c *Client) commit(ctx context.Context, r Reference) (string, error) {
	if err := r.validate(); err != nil {
		return "", err
	}
	folder, err := c.folder(r)
	switch {
	case err != nil:
		return "", err
	case IsCommit(r.Revision):
		return r.Revision, nil
	case c.Offline:
		commit, err := folder.commit(r.revision())
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrOffline, err)
		}
		return commit, nil
	}
	s, err := c.newSession(r, folder, nil)
	if err != nil {
		return "", err
	}
	defer s.http.CloseIdleConnections()
	commit, _, err := s.list(ctx, 1)
	return commit, err
}

// Folder returns the place of a repository's downloads, whether there are any or not.
func (c *Client) Folder(r Reference) (string, error) {
	folder, err := c.folder(r)
	return filepath.Join(folder.root, folder.name), err
}

func (c *Client) folder(r Reference) (folder, error) {
	root := c.Cache
	if root == "" {
		var err error
		if root, err = expand(filepath.Join("~", ".cache", "huggingface", "hub")); err != nil {
			return folder{}, err
		}
	}
	return newFolder(root, r.Repository)
}

// session is one Fetch, or one question, that talks to the hub.
type session struct {
	client   *Client
	timing   timing
	http     *http.Client
	endpoint endpoint
	folder   folder
	from     Reference

	reporting sync.Mutex // held while progress runs
	progress  Progress
}

func (c *Client) newSession(r Reference, f folder, progress Progress) (*session, error) {
	s := &session{client: c, timing: defaultTiming, folder: f, from: r, progress: progress}
	if c.timing != nil {
		s.timing = *c.timing
	}
	var err error
	if s.endpoint, err = newEndpoint(c.Endpoint); err != nil {
		return nil, err
	}
	s.http = s.newHTTPClient()
	return s, nil
}

func (s *session) report(file string, done, total int64) {
	if s.progress != nil {
		s.reporting.Lock()
		defer s.reporting.Unlock()
		s.progress(file, done, total)
	}
}

// list asks the hub for the commit a revision stands for and for the names of the files in it.
func (s *session) list(ctx context.Context, attempts int) (commit string, names []string, err error) {
	var listing struct {
		Commit   string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	err = s.retry(ctx, attempts, func() (bool, error) {
		return false, s.request(ctx, http.MethodGet, s.endpoint.listing(s.from), nil, func(response *http.Response) error {
			content, err := io.ReadAll(io.LimitReader(response.Body, maxListing+1))
			if err != nil {
				return err
			}
			if len(content) > maxListing {
				return fmt.Errorf("%w: listing of more than %d bytes", ErrTooLarge, maxListing)
			}
			if err := strictjson.Unmarshal(content, &listing); err != nil {
				// Not the hub, but something on the way to it, such as the login page of a network.
				return &transientError{cause: fmt.Errorf("%s with no listing: %w", answers(response), err)}
			}
			return nil
		})
	})
	if err != nil {
		return "", nil, err
	}
	if !IsCommit(listing.Commit) {
		return "", nil, fmt.Errorf("listing names commit %q, want a git hash", listing.Commit)
	}
	if pinned := s.from.Revision; IsCommit(pinned) && listing.Commit != pinned {
		return "", nil, fmt.Errorf("%w: listing is of commit %s", ErrMismatch, listing.Commit)
	}
	for _, sibling := range listing.Siblings {
		if err := checkName(sibling.Name); err != nil {
			return "", nil, fmt.Errorf("listing: %w", err)
		}
		names = append(names, sibling.Name)
	}
	return listing.Commit, names, nil
}

// complete brings what is missing of a commit into the cache. The revision is recorded last, so that
// whoever reads it there finds every file.
func (s *session) complete(ctx context.Context, commit string, names []string) (Snapshot, error) {
	files, sharded, err := choose(names)
	if err != nil {
		return Snapshot{}, err
	}
	if sharded {
		if err := s.bring(ctx, commit, []string{modelfiles.Index}); err != nil {
			return Snapshot{}, err
		}
		parts, err := shards(s.folder.pointer(commit, modelfiles.Index))
		if err != nil {
			return Snapshot{}, fmt.Errorf("%s: %w", modelfiles.Index, err)
		}
		files = append(files, parts...)
	}
	if err := s.bring(ctx, commit, files); err != nil {
		return Snapshot{}, err
	}
	if err := s.folder.remember(ctx, s.from.revision(), commit, s.timing); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Directory: s.folder.snapshot(commit), Commit: commit, Files: files}, nil
}

// bring downloads those of the files that the cache does not hold.
func (s *session) bring(ctx context.Context, commit string, files []string) error {
	var missing []*download
	for _, file := range files {
		if !s.folder.holds(commit, file) {
			missing = append(missing, &download{session: s, commit: commit, name: file})
		}
	}
	if err := s.parallel(ctx, missing, (*download).describe); err != nil {
		return err
	}
	// All totals are told before the first byte flows, so that the time left can be estimated from the start.
	var weights, others []*download
	for _, d := range missing {
		s.report(d.name, d.present(), d.size)
		if isWeights(d.name) {
			weights = append(weights, d)
		} else {
			others = append(others, d)
		}
	}
	if err := s.parallel(ctx, others, (*download).run); err != nil || len(weights) == 0 {
		return err
	}
	if s.client.Accept != nil {
		plan := Plan{Directory: s.folder.snapshot(commit), Commit: commit, Files: len(weights)}
		for _, d := range weights {
			plan.Bytes += d.size
			plan.Present += d.present()
		}
		if err := s.client.Accept(plan); err != nil {
			return err
		}
	}
	return s.parallel(ctx, weights, (*download).run)
}

// parallel does the work for all downloads, some at once, until the first error.
func (s *session) parallel(ctx context.Context, downloads []*download, work func(*download, context.Context) error) error {
	files := s.client.Parallel
	if files <= 0 {
		files = defaultParallel
	}
	err := parallel.Each(ctx, files, len(downloads), func(ctx context.Context, i int) error {
		if err := work(downloads[i], ctx); err != nil {
			return fmt.Errorf("%s: %w", downloads[i].name, err)
		}
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
