package console

import (
	"net/http"
	"net/url"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// unreadData is what the page of a message shows that an agent did not understand.
type unreadData struct {
	api.Unread
	Payload payload
}

// IsHead tells whether the agent kept the beginning of the message alone.
func (d unreadData) IsHead() bool { return d.Length > int64(len(d.Raw)) }

func (v *visit) unread() (d unreadData, err error) {
	err = v.get("/unread/"+url.PathEscape(v.r.PathValue("id")), &d.Unread)
	d.Payload = payloadOf(d.Raw, d.Faults)
	return d, err
}

func (v *visit) unreadPage() error {
	d, err := v.unread()
	if err != nil {
		return err
	}
	title, err := v.T("unread.of", d.Source)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "unread", view{Title: title, Section: "exceptions", Live: v.liveAll(), Data: d})
}

// rawUnread hands out a message as the agent kept it.
func (v *visit) rawUnread() error {
	d, err := v.unread()
	if err != nil {
		return err
	}
	v.attachment("application/octet-stream", "message.bin")
	_, _ = v.w.Write(d.Raw) // the visitor may have gone
	return nil
}
