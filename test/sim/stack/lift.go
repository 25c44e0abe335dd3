package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
)

// Desk is where somebody works with the cloud's API.
type Desk struct {
	Base  string // of the API, such as http://127.0.0.1:7490/api/v1
	Token string

	Lifted func(lot event.LotKey) // told of each hold that was lifted; nil = nobody
}

// Lift lifts all open holds of the act's lot. It returns [ErrTooEarly] where the cloud does not know yet what the act
// needs.
func (d Desk) Lift(ctx context.Context, a *company.Act) error {
	switch spoken, err := d.verdict(ctx, a.Needs); {
	case err != nil:
		return err
	case !spoken:
		return ErrTooEarly
	}
	lot := "/lots/" + url.PathEscape(string(a.Lot))
	var found struct {
		Holds []struct {
			ID string `json:"id"`
		} `json:"open_holds"`
	}
	switch status, err := d.call(ctx, http.MethodGet, lot, nil, &found); {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return ErrTooEarly
	case status != http.StatusOK:
		return fmt.Errorf("show lot %s: status %d", a.Lot, status)
	}
	for _, h := range found.Holds {
		path := lot + "/holds/" + url.PathEscape(h.ID) + "/lift"
		status, err := d.call(ctx, http.MethodPost, path, map[string]string{"reason": a.Reason}, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("lift %s: status %d", h.ID, status)
		}
		if d.Lifted != nil {
			d.Lifted(a.Lot)
		}
	}
	return nil
}

// verdict tells whether the cloud shows an inspection as completed; true for none.
func (d Desk) verdict(ctx context.Context, inspection event.ObjectID) (bool, error) {
	if inspection == "" {
		return true, nil
	}
	var trace struct {
		Hops []struct {
			Text string `json:"text"`
		} `json:"hops"`
	}
	if _, err := d.call(ctx, http.MethodGet, "/trace/"+url.PathEscape(string(inspection)), nil, &trace); err != nil {
		return false, err
	}
	for _, hop := range trace.Hops {
		if strings.Contains(hop.Text, "completed: ") {
			return true, nil
		}
	}
	return false, nil
}

// call sends a request and decodes what a success answers.
func (d Desk) call(ctx context.Context, method, path string, body, into any) (status int, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.Base+path, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+d.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if into != nil && res.StatusCode == http.StatusOK {
		err = json.NewDecoder(res.Body).Decode(into)
	}
	return res.StatusCode, err
}
