package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/tti-llm/tti/convert/modelfiles"
)

// download brings one file into the cache.
type download struct {
	session      *session
	commit, name string

	// Set by describe.
	etag string
	size int64

	// State of the transfer.
	partial *os.File
	digest  hash.Hash // of the first offset bytes of partial; nil if etag is no digest we know
	offset  int64     // bytes of partial that are known to be the file's if all goes well
	pieced  bool      // those bytes came in more than one piece
	spoiled bool      // partial holds wrong bytes
}

// etagName is what an ETag must look like to name a blob. It must not end like the name of a partial file, either,
// or it would name that of another blob.
var etagName = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z._-]{0,127}$`)

// incomplete is what the name of a partial file ends with, beside that of the blob.
const incomplete = ".incomplete"

func (d *download) address() string {
	return d.session.endpoint.file(d.session.from.Repository, d.commit, d.name)
}

// describe asks the hub for the size and the ETag of the file.
func (d *download) describe(ctx context.Context) error {
	s := d.session
	return s.retry(ctx, s.timing.attempts, func() (bool, error) {
		return false, s.request(ctx, http.MethodHead, d.address(), nil, d.readDescription)
	})
}

func (d *download) readDescription(response *http.Response) error {
	header, host := response.Header, response.Request.URL.Host
	// A store or a mirror that does not know the commit does not speak of the hub's file: its ETag is another.
	if commit := header.Get(repoCommit); commit != d.commit {
		return fmt.Errorf("%w: %s describes it at commit %q, want %q", ErrMismatch, host, commit, d.commit)
	}
	etag, size := header.Get(linkedETag), header.Get(linkedSize)
	if response.StatusCode == http.StatusOK {
		if etag == "" {
			etag = header.Get("ETag")
		}
		if size == "" {
			size = header.Get("Content-Length")
		}
	}
	d.etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if !etagName.MatchString(d.etag) || strings.HasSuffix(strings.ToLower(d.etag), incomplete) {
		return fmt.Errorf("%w: %s gives it the etag %.200q, want a digest", ErrMismatch, host, etag)
	}
	var err error
	if d.size, err = strconv.ParseInt(size, 10, 64); err != nil || d.size < 0 {
		return fmt.Errorf("%w: %s gives it the size %.200q", ErrMismatch, host, size)
	}
	if most := modelfiles.MaxSize(d.name); d.size > most {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrTooLarge, d.size, most)
	}
	return nil
}

func (d *download) partialPath() string {
	return d.session.folder.blob(d.etag) + incomplete
}

// present returns how many bytes of the file are on disk.
func (d *download) present() int64 {
	if d.hasBlob() {
		return d.size
	}
	if info, err := os.Stat(d.partialPath()); err == nil && info.Size() <= d.size {
		return info.Size()
	}
	return 0
}

// hasBlob tells whether the content is in the cache, perhaps as that of another file or revision.
func (d *download) hasBlob() bool {
	info, err := os.Stat(d.session.folder.blob(d.etag))
	return err == nil && info.Size() == d.size
}

// run puts the file into the cache, unless another process does so first.
func (d *download) run(ctx context.Context) error {
	folder := d.session.folder
	lock, err := folder.lock(ctx, d.etag, d.session.timing)
	if err != nil {
		return err
	}
	defer lock.Release()

	if !folder.holds(d.commit, d.name) {
		if !d.hasBlob() {
			if err := d.fetchBlob(ctx); err != nil {
				return err
			}
		}
		if err := folder.publish(d.etag, d.commit, d.name, linkers); err != nil {
			return err
		}
	}
	d.session.report(d.name, d.size, d.size)
	return nil
}

// fetchBlob downloads into the partial file, verifies it, and gives it the name of the blob. When it is
// interrupted the partial file stays; when what is in it is wrong it does not.
func (d *download) fetchBlob(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(d.partialPath()), 0o777); err != nil {
		return err
	}
	partial, err := os.OpenFile(d.partialPath(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	d.partial = partial
	err = d.fill(ctx)
	if err == nil {
		err = partial.Sync()
	}
	err = errors.Join(err, partial.Close())
	if d.spoiled {
		return errors.Join(err, os.Remove(d.partialPath()))
	}
	if err != nil {
		return err
	}
	return os.Rename(d.partialPath(), d.session.folder.blob(d.etag))
}

// fill completes the partial file and verifies it. If it was pieced together and is wrong, the fault may
// lie with the earlier piece (other programs leave partial files with holes), so it is fetched once more in whole.
func (d *download) fill(ctx context.Context) error {
	if err := d.resume(ctx); err != nil {
		return err
	}
	for again := false; ; again = true {
		if err := d.transfer(ctx); err != nil {
			return err
		}
		err := d.verify()
		if err == nil || !d.pieced || again {
			return err
		}
		d.restart()
	}
}

// resume takes up what an earlier download left in the partial file.
func (d *download) resume(ctx context.Context) error {
	d.restart()
	info, err := d.partial.Stat()
	if err != nil {
		return err
	}
	if info.Size() > d.size {
		return d.partial.Truncate(0)
	}
	buffer := make([]byte, 1<<20)
	for d.offset < info.Size() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := d.partial.ReadAt(buffer, d.offset)
		d.accept(buffer[:n])
		if err != nil && err != io.EOF {
			return err
		}
	}
	d.pieced = d.offset > 0
	return nil
}

// restart begins the file anew. What is in the partial file is written over, not cut off: it stays useful
// if this attempt is interrupted too.
func (d *download) restart() {
	d.offset, d.pieced, d.spoiled, d.digest = 0, false, false, newDigest(d.etag, d.size)
}

// newDigest returns the hash that the ETag is the hexadecimal sum of: SHA-256 for files in the large file
// store, git's SHA-1 of a blob for those in git itself; nil if it is neither.
func newDigest(etag string, size int64) hash.Hash {
	sum, err := hex.DecodeString(etag)
	switch {
	case err == nil && len(sum) == sha256.Size:
		return sha256.New()
	case err == nil && len(sum) == sha1.Size:
		digest := sha1.New()
		fmt.Fprintf(digest, "blob %d\x00", size)
		return digest
	}
	return nil
}

func (d *download) accept(data []byte) {
	if d.digest != nil {
		d.digest.Write(data)
	}
	d.offset += int64(len(data))
}

func (d *download) verify() error {
	if d.digest == nil {
		return nil
	}
	if sum := hex.EncodeToString(d.digest.Sum(nil)); !strings.EqualFold(sum, d.etag) {
		d.spoiled = true
		return fmt.Errorf("%w: digest %s, want %s", ErrMismatch, sum, d.etag)
	}
	return nil
}

// transfer downloads the rest of the file, over as many connections as it takes.
func (d *download) transfer(ctx context.Context) error {
	s, mark := d.session, d.offset
	return s.retry(ctx, s.timing.attempts, func() (bool, error) {
		if d.offset == d.size {
			return true, nil
		}
		header := http.Header{}
		if d.offset > 0 {
			header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
			d.pieced = true
		}
		err := s.request(ctx, http.MethodGet, d.address(), header, d.receive)
		if errors.Is(err, errRange) {
			d.restart() // This server does not do ranges well: the next attempt asks for the whole.
		}
		advanced := d.offset >= mark+s.timing.advance
		if advanced {
			mark = d.offset
		}
		return advanced, err
	})
}

// receive appends an answer to the partial file.
func (d *download) receive(response *http.Response) error {
	host := response.Request.URL.Host
	switch response.StatusCode {
	case http.StatusOK: // Also the answer of a server that knows no ranges.
		d.restart()
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", d.offset, d.size-1, d.size)
		if got := response.Header.Get("Content-Range"); got != want {
			return &transientError{cause: fmt.Errorf("%w: %s sends %q, want %q", errRange, host, got, want)}
		}
	default:
		return errors.New(answers(response))
	}
	rest := d.size - d.offset
	if length := response.ContentLength; length >= 0 && length != rest {
		return fmt.Errorf("%w: %s sends %d bytes, want %d", ErrMismatch, host, length, rest)
	}

	buffer := make([]byte, 256<<10)
	for {
		n, err := response.Body.Read(buffer)
		if int64(n) > d.size-d.offset {
			d.spoiled = true
			return fmt.Errorf("%w: %s sends more than %d bytes", ErrMismatch, host, rest)
		}
		if n > 0 {
			if _, err := d.partial.WriteAt(buffer[:n], d.offset); err != nil {
				return err
			}
			d.accept(buffer[:n])
			d.session.report(d.name, d.offset, d.size)
		}
		switch {
		case err == io.EOF && d.offset < d.size:
			return &transientError{cause: fmt.Errorf("%s: connection ended after %d of %d bytes", host, d.offset, d.size)}
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
