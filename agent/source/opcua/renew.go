package opcua

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// ApplicationURI is how an agent names itself to OPC UA servers; its own certificate holds it.
func ApplicationURI(plant, agent string) string { return "urn:holdfast:" + plant + ":" + agent }

func (f Folder) own(name string) string { return filepath.Join(trust{f.Dir}.path("own"), name) }

// nextFile is our certificate with its key as [Folder.Prepare] makes them.
const nextFile = "holdfast.next.pem"

// Prepare makes the certificate that will follow our own, and keeps showing the present one. The file der is for the
// servers' trust folders. One that was prepared before and not used yet stands.
func (f Folder) Prepare(uri string, now time.Time) (next Entry, der string, err error) {
	if err := (trust{f.Dir}).prepare(); err != nil {
		return next, "", err
	}
	file := f.own(nextFile)
	if err := makeIdentity(file, uri, now); err != nil {
		return next, "", problem.New(problem.ConfigFile, "make our next certificate: %w", err)
	}
	next = ReadEntry(UseNext, file)
	if next.Err != nil {
		return next, "", problem.New(problem.ConfigFile, "%s %w", file, next.Err)
	}
	return next, publicFile(file), f.likeFolder(file, publicFile(file))
}

// ErrNotPrepared says that there is no certificate that could follow our own.
var ErrNotPrepared = errors.New("no next certificate has been prepared")

// Use shows the prepared certificate from the next connection on. The present one is kept beside it, so that a person can
// go back.
func (f Folder) Use() (now Entry, err error) {
	next, present, previous := f.own(nextFile), ownFile(trust{f.Dir}), f.own("holdfast.previous.pem")
	if _, err := readIdentity(next, next); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return now, ErrNotPrepared
		}
		return now, err
	}
	if err := os.Remove(previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return now, problem.New(problem.ConfigFile, "remove certificate: %w", err)
	}
	if err := os.Link(present, previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return now, problem.New(problem.ConfigFile, "keep certificate: %w", err)
	}
	if err := errors.Join(os.Rename(next, present), os.Rename(publicFile(next), publicFile(present))); err != nil {
		return now, problem.New(problem.ConfigFile, "use certificate: %w", err)
	}
	return ReadEntry(UseOwn, present), nil
}

// likeFolder gives files the owner of the folder: whoever makes them may not be the user that the agent runs as.
func (f Folder) likeFolder(files ...string) error {
	for _, file := range files {
		if err := likeOwner(file, f.Dir); err != nil {
			return problem.New(problem.ConfigFile, "give %s to the owner of %s: %w", file, f.Dir, err)
		}
	}
	return nil
}
