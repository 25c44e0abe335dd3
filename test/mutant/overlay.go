// Package mutant builds programs with a defect that a patch brings in: a proof that can't fail proves nothing. Product code
// holds no branch for it.
package mutant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Overlay is a patch that was applied to copies of the files that it names.
type Overlay struct {
	Path     string   // of what go build's -overlay takes
	Packages []string // folders of the patched files from the root of the module, such as ./cloud/quality; sorted
}

// New applies a patch to files of the module at root, in copies below dir, which is empty. A patch that no longer applies
// is an error.
func New(root, dir, patch string) (*Overlay, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(patch)
	if err != nil {
		return nil, err
	}
	o := &Overlay{Path: filepath.Join(dir, "overlay.json")}
	replace := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ b/")
		if !ok {
			continue
		}
		original, copied := filepath.Join(root, name), filepath.Join(dir, name)
		if err := copyFile(original, copied); err != nil {
			return nil, err
		}
		replace[original] = copied
		o.Packages = append(o.Packages, "./"+filepath.ToSlash(filepath.Dir(name)))
	}
	slices.Sort(o.Packages)
	o.Packages = slices.Compact(o.Packages)
	if err := apply(dir, patch, text); err != nil {
		return nil, err
	}
	spec, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return o, os.WriteFile(o.Path, spec, 0o644)
}

func copyFile(from, to string) error {
	source, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, source, 0o644)
}

func apply(dir, patch string, text []byte) error {
	cmd := exec.Command("git", "apply", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(text)
	// Without this a repository around the directory would be patched instead.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_DIR="+filepath.Join(dir, ".none"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s no longer applies: %w\n%s", filepath.Base(patch), err, out)
	}
	return nil
}
