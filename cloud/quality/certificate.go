package quality

import "github.com/holdfast-mesh/holdfast/pkg/event"

// Certificate is a supplier's certificate as it came in. It is kept as a fact: what a lot needs of it is the QMS's to say.
type Certificate struct {
	ID           event.ObjectID        `json:"id"`
	Lot          event.LotKey          `json:"lot,omitempty"` // empty = of the supplier's lot alone
	Version      int64                 `json:"version"`
	Kind         event.CertificateKind `json:"kind"`
	Supplier     string                `json:"supplier,omitempty"`
	SupplierLot  string                `json:"supplier_lot"`
	DocumentHash event.Hash            `json:"document_hash"`
	Cause        event.ID              `json:"cause"`
}

func certificateReceived(e *event.Event, d *event.CertificateReceived) (Change, error) {
	return Change{Certificates: []Certificate{{
		ID: d.CertificateID, Lot: d.Lot, Kind: d.Kind, Supplier: string(d.Supplier), SupplierLot: string(d.SupplierLot),
		DocumentHash: d.DocumentHash, Cause: e.ID,
	}}, Known: []string{string(d.CertificateID)}}, nil
}
