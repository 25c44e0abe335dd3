package localapi

import (
	"fmt"
	"os/user"
)

// nameOf returns the name of the user with an id, or a text with the id where the system knows no name.
func nameOf(uid string) string {
	if u, err := user.LookupId(uid); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid-%s", uid)
}
