package queue

import "fmt"

// Volume is where a directory lies.
type Volume struct {
	Free   int64 // bytes that this process may still write
	Memory bool  // a power cut empties it
}

// VolumeOf returns the volume of a directory that exists.
func VolumeOf(dir string) (v Volume, err error) {
	if v.Free, err = freeBytes(dir); err != nil {
		return v, fmt.Errorf("look at volume of %s: %w", dir, err)
	}
	if v.Memory, err = onMemory(dir); err != nil {
		return v, fmt.Errorf("look at volume of %s: %w", dir, err)
	}
	return v, nil
}
