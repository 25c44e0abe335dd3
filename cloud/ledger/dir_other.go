//go:build !unix

package ledger

// syncDir does nothing: such systems cannot sync a directory, and write its names with the file.
func syncDir(string) error { return nil }
