package chat

import (
	"regexp"
	"strings"
	"testing"
)

// TestIsRole tries every byte, and lengths around the limit.
func TestIsRole(t *testing.T) {
	expression := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	roles := []string{"", "user", strings.Repeat("a", 64), strings.Repeat("a", 65)}
	for b := range 256 {
		roles = append(roles, string([]byte{byte(b)}), "a"+string([]byte{byte(b)}))
	}
	for _, role := range roles {
		if got, want := isRole(role), expression.MatchString(role); got != want {
			t.Errorf("%q: %v, want %v", role, got, want)
		}
	}
}
