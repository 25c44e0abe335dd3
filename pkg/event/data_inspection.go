package event

// InspectionType says at which point of a lot's life it is inspected.
type InspectionType string

// Inspection types.
const (
	InspectionIncoming  InspectionType = "incoming"
	InspectionInProcess InspectionType = "in_process"
	InspectionFinal     InspectionType = "final"
	InspectionOutgoing  InspectionType = "outgoing"
	InspectionPeriodic  InspectionType = "periodic"
	Reinspection        InspectionType = "reinspection"
)

// CheckInspectionType returns an error that names what is allowed if t is none of the types.
func CheckInspectionType(t InspectionType) error { return t.check() }

func (t InspectionType) check() error {
	return oneOf(t, InspectionIncoming, InspectionInProcess, InspectionFinal, InspectionOutgoing, InspectionPeriodic, Reinspection)
}

// Verdict is the judgement on a whole inspection. None means not evaluated: the inspection is not complete.
type Verdict string

// Verdicts.
const (
	VerdictPass          Verdict = "pass"
	VerdictFail          Verdict = "fail"
	VerdictIndeterminate Verdict = "indeterminate"
	VerdictNone          Verdict = "none"
)

func (v Verdict) check() error {
	return oneOf(v, VerdictPass, VerdictFail, VerdictIndeterminate, VerdictNone)
}

// OfInspection is the first member of data that is about an inspection of a lot.
type OfInspection struct {
	OfLot
	InspectionID ObjectID `json:"inspection_id"`
}

// Case returns the inspection.
func (o *OfInspection) Case() ObjectID { return o.InspectionID }

// InspectionPlanned says that a lot has to be inspected.
type InspectionPlanned struct {
	OfInspection
	InspectionType InspectionType `json:"inspection_type"`
	SpecRev        Name           `json:"spec_rev"` // revision of the specification it is inspected against
	Due            Time           `json:"due"`
	Sample         *Quantity      `json:"sample,omitempty"` // absent = as the specification says
	Traced
}

// Type returns [TypeInspectionPlanned].
func (*InspectionPlanned) Type() Type { return TypeInspectionPlanned }

// InspectionCompleted is the verdict on an inspection. Its single results may still be on their way.
type InspectionCompleted struct {
	OfInspection
	InspectionType InspectionType `json:"inspection_type"`
	Verdict        Verdict        `json:"verdict"`
	SpecRev        Name           `json:"spec_rev"`
	CompletedAt    Time           `json:"completed_at"`
	ResultCount    int64          `json:"result_count"` // results the verdict rests on
	Traced
}

// Type returns [TypeInspectionCompleted].
func (*InspectionCompleted) Type() Type { return TypeInspectionCompleted }

// InspectionCancelled says that an inspection will not take place.
type InspectionCancelled struct {
	OfInspection
	Reason string `json:"reason"`
	Traced
}

// Type returns [TypeInspectionCancelled].
func (*InspectionCancelled) Type() Type { return TypeInspectionCancelled }

// InspectionSuperseded says that another inspection of the same lot counts instead of this one.
type InspectionSuperseded struct {
	OfInspection
	SupersededBy ObjectID `json:"superseded_by"`
	Reason       string   `json:"reason"`
	Traced
}

// Type returns [TypeInspectionSuperseded].
func (*InspectionSuperseded) Type() Type { return TypeInspectionSuperseded }

// CertificateKind says what a certificate attests.
type CertificateKind string

// Certificate kinds.
const (
	CertificateOfAnalysis    CertificateKind = "CoA" // with measured values
	CertificateOfConformance CertificateKind = "CoC" // without
)

func (k CertificateKind) check() error {
	return oneOf(k, CertificateOfAnalysis, CertificateOfConformance)
}

// CertificateReceived says that a supplier's certificate came in. It may come before the lot it is for is known.
type CertificateReceived struct {
	MayLot
	CertificateID ObjectID        `json:"certificate_id"`
	Kind          CertificateKind `json:"kind"`
	Supplier      Name            `json:"supplier,omitempty"`
	SupplierLot   Name            `json:"supplier_lot"`
	DocumentHash  Hash            `json:"document_hash"`
	Traced
}

// Type returns [TypeCertificateReceived].
func (*CertificateReceived) Type() Type { return TypeCertificateReceived }

// Subject returns the lot, or the certificate where its lot is not known.
func (d *CertificateReceived) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return string(d.CertificateID)
}
