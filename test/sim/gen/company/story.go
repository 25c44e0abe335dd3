package company

// story is what happens to a lot.
type story string

// Stories; [Plan] says what each is.
const (
	plain      story = "plain"
	failing    story = "failing"
	unsafe     story = "unsafe"
	failFinal  story = "failed final inspection"
	corrected  story = "corrected"
	reinspect  story = "re-inspected"
	held       story = "held"
	lifted     story = "held and lifted"
	heldLate   story = "held late"
	lateFail   story = "failed late"
	wrongUnit  story = "wrong unit"
	contrary   story = "contrary readings"
	garbled    story = "garbled"
	missing    story = "missing part"
	rejected   story = "rejected"
	reworked   story = "reworked"
	undecided  story = "undecided"
	repealed   story = "rejected, then released"
	takenBack  story = "released, then rejected"
	foreign    story = "restricted by hand"
	unknownMat story = "unknown material"
)

// shares returns the stories of a plan with their shares in a thousand, in the order in which they are drawn.
func (p *Plan) shares() []share {
	return []share{
		{failing, p.Failing}, {unsafe, p.Unsafe}, {failFinal, p.FailFinal}, {corrected, p.Corrected}, {reinspect, p.Reinspect},
		{held, p.Held}, {lifted, p.Lifted}, {heldLate, p.HeldLate}, {lateFail, p.LateFail}, {wrongUnit, p.WrongUnit}, {contrary, p.Contrary},
		{garbled, p.Garbled}, {missing, p.Missing}, {rejected, p.Rejected}, {reworked, p.Reworked}, {undecided, p.Undecided},
		{repealed, p.Repealed}, {takenBack, p.TakenBack}, {foreign, p.Foreign}, {unknownMat, p.UnknownMat},
	}
}

type share struct {
	story
	inThousand int
}
