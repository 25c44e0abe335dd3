package event

// NonconformanceStep is what a nonconformance's later steps say alike; one for several lots is sent once per lot.
type NonconformanceStep struct {
	OfLot
	NonconformanceID ObjectID `json:"nc_id"`
	By               Name     `json:"by"`
	At               Time     `json:"at"`
	Reason           string   `json:"reason"`
	Traced
}

// Case returns the nonconformance.
func (d *NonconformanceStep) Case() ObjectID { return d.NonconformanceID }

// NonconformanceContained says that the fault cannot spread any more.
type NonconformanceContained struct{ NonconformanceStep }

// Type returns [TypeNonconformanceContained].
func (*NonconformanceContained) Type() Type { return TypeNonconformanceContained }

// NonconformanceClosed says that all that followed from it is done.
type NonconformanceClosed struct{ NonconformanceStep }

// Type returns [TypeNonconformanceClosed].
func (*NonconformanceClosed) Type() Type { return TypeNonconformanceClosed }

// NonconformanceVoided says that it was none.
type NonconformanceVoided struct{ NonconformanceStep }

// Type returns [TypeNonconformanceVoided].
func (*NonconformanceVoided) Type() Type { return TypeNonconformanceVoided }
