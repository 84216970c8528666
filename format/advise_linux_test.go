package format

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestMappedFilesAreAdvised looks at what Linux says of a mapping.
func TestMappedFilesAreAdvised(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has no huge pages")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mapping, err := mapFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer mapping.Unmap()
	if flags := mappingFlags(t, &mapping[0]); !slices.Contains(flags, "hg") {
		t.Errorf("the mapping has the flags %v, want hg among them", flags)
	}
}

// mappingFlags returns the kernel's flags of the mapping that begins at an address.
func mappingFlags(t *testing.T, address *byte) []string {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer maps.Close()
	begins := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(address)))
	found := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		found = found || strings.HasPrefix(lines.Text(), begins)
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && found {
			return strings.Fields(flags)
		}
	}
	t.Skip("Linux says nothing of its mappings here")
	return nil
}
