package opcua

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// History says what history the line keeps, in memory as a machine does: after a restart it is gone.
type History struct {
	Keep int  // values of each variable; 0 = none: the server does not know the service
	Page int  // most values in one answer; 0 = as many as asked for
	Cut  bool // an answer that is cut at Page has no continuation point, as at servers with a limit of their own
}

// keepHistory puts a value behind the others. The lock is held.
func (p *Press) keepHistory(name string, dv *ua.DataValue) {
	if p.cfg.History.Keep == 0 || name == "Heartbeat" {
		return
	}
	all := append(p.history[name], dv)
	p.history[name] = all[max(0, len(all)-p.cfg.History.Keep):]
}

// serveHistory answers in place of the library's server, which cannot.
func (p *Press) serveHistory() {
	p.server.RegisterHandler(id.HistoryReadRequest_Encoding_DefaultBinary, func(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
		req, ok := r.(*ua.HistoryReadRequest)
		if !ok || req.HistoryReadDetails == nil {
			return nil, ua.StatusBadRequestTypeInvalid
		}
		details, ok := req.HistoryReadDetails.Value.(*ua.ReadRawModifiedDetails)
		if !ok {
			return nil, ua.StatusBadHistoryOperationUnsupported
		}
		res := &ua.HistoryReadResponse{ResponseHeader: &ua.ResponseHeader{
			Timestamp: time.Now(), RequestHandle: req.RequestHeader.RequestHandle, ServiceDiagnostics: &ua.DiagnosticInfo{}, StringTable: []string{},
			AdditionalHeader: ua.NewExtensionObject(nil),
		}, DiagnosticInfos: []*ua.DiagnosticInfo{}}
		for _, n := range req.NodesToRead {
			res.Results = append(res.Results, p.past(n, details))
		}
		return res, nil
	})
}

// past returns the values of a node in a range of source times. A continuation point is the place of the next value,
// counted from the range's first.
func (p *Press) past(n *ua.HistoryReadValueID, d *ua.ReadRawModifiedDetails) *ua.HistoryReadResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	name := strings.TrimPrefix(n.NodeID.StringID(), p.cfg.Name+".")
	within := slices.DeleteFunc(slices.Clone(p.history[name]), func(dv *ua.DataValue) bool {
		return dv.SourceTimestamp.Before(d.StartTime) || dv.SourceTimestamp.After(d.EndTime)
	})
	from := 0
	if len(n.ContinuationPoint) == 8 {
		from = min(int(binary.LittleEndian.Uint64(n.ContinuationPoint)), len(within))
	}
	page := within[from:]
	limit := int(d.NumValuesPerNode)
	if p.cfg.History.Page > 0 {
		limit = min(limit, p.cfg.History.Page)
	}
	res := &ua.HistoryReadResult{StatusCode: ua.StatusOK}
	if limit > 0 && len(page) > limit {
		page = page[:limit]
		if !p.cfg.History.Cut {
			res.ContinuationPoint = binary.LittleEndian.AppendUint64(nil, uint64(from+limit))
		}
	}
	res.HistoryData = ua.NewExtensionObject(&ua.HistoryData{DataValues: page})
	return res
}

// HistoryReads returns how many times history was asked for, pages included.
func (p *Press) HistoryReads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}
