//go:build !linux

package localapi

import (
	"fmt"
	"net"
	"os/user"
)

// principal returns the user that the agent runs as: no other can connect.
func principal(net.Conn) (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("ask for the agent's user: %w", err)
	}
	return u.Username, nil
}
