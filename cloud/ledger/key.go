package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// loadKey reads the signing key from its file, 64 hex digits of seed, or makes one.
func loadKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err := makeKey(path)
		if err != nil {
			return nil, problem.New(problem.ConfigFile, "make ledger key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, problem.New(problem.ConfigFile, "read ledger key: %w", err)
	}
	seed, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, problem.New(problem.ConfigFile, "ledger key %s is not 64 hex digits", path)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// makeKey makes a key that outlives a power cut before anything is signed with it: signatures of a key that is gone
// prove nothing. The file has its name only once it is whole.
func makeKey(path string) (key ed25519.PrivateKey, err error) {
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // with mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(hex.EncodeToString(key.Seed()) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("sync directory of %s: %w", path, err)
	}
	return key, nil
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// ReadPublicKey reads the public half of a signing key's file.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, problem.New(problem.ConfigFile, "read ledger key: %w", err)
	}
	key, err := loadKey(path)
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}
