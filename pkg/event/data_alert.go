package event

// Alert is what raising and clearing say alike. Code and subject together name one alert.
type Alert struct {
	noLot
	Code     Name   `json:"code"`
	About    string `json:"subject"`          // lot, agent, system ... that it is about
	Since    Time   `json:"since"`            // when it was raised, also where it is cleared
	Owner    Name   `json:"owner"`            // role that has to act
	NextStep string `json:"next_step"`        // what to do, in one sentence
	Detail   string `json:"detail,omitempty"` // what is wrong here
	Traced
}

// Subject returns what the alert is about.
func (d *Alert) Subject() string { return d.About }

// AlertRaised says that a person has to act.
type AlertRaised struct{ Alert }

// Type returns [TypeAlertRaised].
func (*AlertRaised) Type() Type { return TypeAlertRaised }

// AlertCleared says that the reason of an alert is gone.
type AlertCleared struct{ Alert }

// Type returns [TypeAlertCleared].
func (*AlertCleared) Type() Type { return TypeAlertCleared }
