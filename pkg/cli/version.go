package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version says which build of a program this is.
type Version struct {
	Version string `json:"version"` // of the module; (devel) for a build from a working tree
	Commit  string `json:"commit,omitempty"`
	Time    string `json:"time,omitempty"` // of the commit
	Changed bool   `json:"changed,omitempty" doc:"the working tree had changes"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// BuildVersion returns the version of the running program.
func BuildVersion() Version {
	v := Version{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value
		case "vcs.time":
			v.Time = setting.Value
		case "vcs.modified":
			v.Changed = setting.Value == "true"
		}
	}
	return v
}

// Line returns the version of the program called name on one line.
func (v Version) Line(name string) string {
	commit := v.Commit
	if v.Changed {
		commit += " with changes"
	}
	return fmt.Sprintf("%s %s %s %s %s/%s", name, v.Version, commit, v.Go, v.OS, v.Arch)
}
