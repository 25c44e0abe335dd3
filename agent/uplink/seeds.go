package uplink

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	// learnEvery is how often a cluster that is reached is asked which brokers it has.
	learnEvery = time.Minute
	// mostSeeds bounds what is remembered: a client needs one that lives.
	mostSeeds = 32
	// mostSeedFile is far above what so many names take, in bytes.
	mostSeedFile = 64 << 10
)

// Seeds are the brokers by which a new client looks for the cluster: those that are configured, and those that the cluster
// itself named the last time that it was reached. A client that works knows them anyway. But one that has failed is made
// anew, and so is each after a start: where only one broker is configured, and that one is gone, it would look for it
// alone, though all others are there. A Seeds may be used by several goroutines.
type Seeds struct {
	file       string
	configured []string

	mu    sync.Mutex // guards named; held over the write of the file, so that the newest stays
	named []string
}

// OpenSeeds returns the brokers configured and those remembered in a file. One that is missing or cannot be read is empty:
// it is written anew when the cluster is reached.
func OpenSeeds(file string, configured []string) *Seeds {
	s := &Seeds{file: file, configured: configured}
	if info, err := os.Stat(file); err != nil || info.Size() > mostSeedFile {
		return s
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return s
	}
	var named []string
	if json.Unmarshal(text, &named) != nil || len(named) > mostSeeds || slices.ContainsFunc(named, noAddress) {
		return s
	}
	s.named = named
	return s
}

func noAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, convErr := strconv.ParseUint(port, 10, 16)
	return err != nil || convErr != nil || host == "" || n == 0
}

// All returns the addresses, the configured ones first.
func (s *Seeds) All() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.configured)
	for _, address := range s.named {
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all
}

// learn remembers the brokers of a cluster, also over a restart.
func (s *Seeds) learn(brokers kadm.BrokerDetails) error {
	var named []string
	for _, b := range brokers {
		if address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))); !noAddress(address) {
			named = append(named, address)
		}
	}
	slices.Sort(named)
	named = named[:min(len(named), mostSeeds)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(named) == 0 || slices.Equal(named, s.named) {
		return nil
	}
	s.named = named
	if err := s.write(); err != nil {
		return fmt.Errorf("remember the brokers of the cluster: %w", err)
	}
	return nil
}

// write puts the file in place whole. A power cut may take it: the configured brokers are there all the same.
func (s *Seeds) write() error {
	if s.file == "" {
		return nil
	}
	text, err := json.Marshal(s.named)
	if err != nil {
		return err
	}
	fresh := s.file + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, s.file)
}
