package serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// minKey is the shortest key that is taken, in bytes: what is shorter can be guessed.
const minKey = 16

var errNoKey = &Error{Status: http.StatusUnauthorized, Message: "want a known key in Authorization: Bearer KEY", Type: invalidRequest, Code: "invalid_api_key"}

// Keys are those of the clients that may use a server.
type Keys struct {
	owners  []string
	digests [][sha256.Size]byte
}

// ReadKeys reads a file with a client in each line: a name, white space, and its key or, so that the file need not be secret,
// sha256: and the key's SHA-256 in hexadecimal. Empty lines and those that begin with # are passed over. Errors name the line,
// never the key.
func ReadKeys(path string) (*Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys Keys
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := keys.add(line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys.owners) == 0 {
		return nil, fmt.Errorf("%s: no keys", path)
	}
	return &keys, nil
}

func (k *Keys) add(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return fmt.Errorf("%d words, want a name and a key", len(fields))
	}
	digest := sha256.Sum256([]byte(fields[1]))
	if written, found := strings.CutPrefix(fields[1], "sha256:"); found {
		bytes, err := hex.DecodeString(written)
		if err != nil || len(bytes) != len(digest) {
			return fmt.Errorf("the digest after sha256: is not %d hexadecimal digits", 2*len(digest))
		}
		digest = [sha256.Size]byte(bytes)
	} else if len(fields[1]) < minKey {
		return fmt.Errorf("the key is shorter than %d bytes", minKey)
	}
	k.owners = append(k.owners, fields[0])
	k.digests = append(k.digests, digest)
	return nil
}

// owner returns whose key a header holds. How long it takes tells nothing of the keys.
func (k *Keys) owner(header string) (name string, known bool) {
	scheme, key, _ := strings.Cut(header, " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(key)))
	for i := range k.digests {
		if subtle.ConstantTimeCompare(digest[:], k.digests[i][:]) == 1 {
			name, known = k.owners[i], true
		}
	}
	return name, known && strings.EqualFold(scheme, "Bearer")
}
