package localapi

import "time"

// Certificate is one that the agent shows to others, or by which it knows them.
type Certificate struct {
	Use        string    `json:"use"` // own, trusted, issuer or rejected
	For        []string  `json:"for"` // kafka, or ids of sources
	File       string    `json:"file"`
	Thumbprint string    `json:"thumbprint,omitempty"` // SHA-1 in hex, as OPC UA servers and their tools show it
	SHA256     string    `json:"sha256,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Issuer     string    `json:"issuer,omitempty"`
	URI        string    `json:"uri,omitempty"` // of the application
	Hosts      []string  `json:"hosts,omitempty"`
	Renewable  bool      `json:"renewable,omitempty"` // the agent made it and can make the next
	Authority  bool      `json:"authority,omitempty"` // whatever it issued is trusted, too
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	Days       int       `json:"days"`              // whole ones until it ends, negative afterwards
	Problem    string    `json:"problem,omitempty"` // why it cannot be read
}
