package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FromEnvironment returns a client configured like huggingface_hub, by
// https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables:
//
//   - HF_ENDPOINT: the hub's address
//   - HF_HUB_CACHE (or the older HUGGINGFACE_HUB_CACHE): the cache; else hub below HF_HOME, which is
//     huggingface below XDG_CACHE_HOME, which is ~/.cache
//   - HF_TOKEN (or the older HUGGING_FACE_HUB_TOKEN), else the file HF_TOKEN_PATH or HF_HOME/token, the one that
//     `hf auth login` writes; none of them if HF_HUB_DISABLE_IMPLICIT_TOKEN is set
//   - HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE: ask no server
//
// It fails if the token file exists and cannot be read, or if there is no home directory to fall back to.
func FromEnvironment() (*Client, error) {
	home, err := homeDirectory()
	if err != nil {
		return nil, err
	}
	cache := firstSet("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
	if cache == "" {
		cache = filepath.Join(home, "hub")
	} else if cache, err = expand(cache); err != nil {
		return nil, err
	}
	token, err := token(home)
	if err != nil {
		return nil, err
	}
	return &Client{
		Endpoint: os.Getenv("HF_ENDPOINT"),
		Cache:    cache,
		Token:    token,
		Offline:  isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE"),
	}, nil
}

// homeDirectory is HuggingFace's directory, where the cache and the token are by default.
func homeDirectory() (string, error) {
	if home := os.Getenv("HF_HOME"); home != "" {
		return expand(home)
	}
	if cache := os.Getenv("XDG_CACHE_HOME"); cache != "" {
		return expand(filepath.Join(cache, "huggingface"))
	}
	return expand(filepath.Join("~", ".cache", "huggingface"))
}

func token(home string) (string, error) {
	if isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		return "", nil
	}
	if token := strings.TrimSpace(firstSet("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")); token != "" {
		return token, nil
	}
	path := filepath.Join(home, "token")
	if named := os.Getenv("HF_TOKEN_PATH"); named != "" {
		var err error
		if path, err = expand(named); err != nil {
			return "", err
		}
	}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("hub token: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

func firstSet(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// isTrue reads a switch the way huggingface_hub does.
func isTrue(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expand replaces variables and a leading ~, which huggingface_hub does for every path it is given.
func expand(path string) (string, error) {
	path = os.ExpandEnv(path)
	rest, found := strings.CutPrefix(path, "~")
	if !found || rest != "" && !os.IsPathSeparator(rest[0]) {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hub cache: %w", err)
	}
	return filepath.Join(home, rest), nil
}
