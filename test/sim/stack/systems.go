package stack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/notice"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

// What the cloud logs in with at the business systems.
const (
	ERPUser     = "HOLDFAST"
	ERPPassword = "sap-secret-1"
	QMSToken    = "qms-secret-1"
	WMSToken    = "wms-secret-1"
	NoticeToken = "notice-secret-1"
	OrderToken  = "order-secret-1"
)

// Ids of the systems, as the cloud's configuration names them.
const (
	ERP    = "s4" // of all plants but those with one of their own, see [ScopedERP]
	QMS    = "qms1"
	WMS    = "wms1"
	Notice = "notice1"
	Orders = "orders1"
)

// SystemsConfig says what kind of business systems are simulated. Log-ins are filled in.
type SystemsConfig struct {
	// Plants are those that they serve. One that numbers its lots for itself has an ERP of its own.
	Plants []dialect.Site
	SAP    sap.Config
	QMS    qms.Config
	WMS    wms.Config
	Notice notice.Config
	Order  order.Config
}

// Systems are the simulated business systems, each behind a link that can be cut.
type Systems struct {
	SAP     *sap.Simulator
	Scoped  []ScopedERP // of the plants that number lots for themselves, in order of the plants
	QMS     *qms.Simulator
	WMS     *wms.Simulator
	Notices *notice.Sink
	Orders  *order.Simulator

	ERP   *proxy.Proxy            // link to SAP
	Links map[string]*proxy.Proxy // to each system, by its id

	faults  []*fault.Set
	servers []*http.Server
	books   []io.Closer
}

// ScopedERP is the ERP of one plant alone, whose batch numbers are unique in that plant.
type ScopedERP struct {
	*sap.Simulator
	Plant string
}

// ID returns the id of the system.
func (e ScopedERP) ID() string { return ERP + "-" + e.Plant }

// StartSystems starts all of them on free loopback ports.
func StartSystems(cfg SystemsConfig) (*Systems, error) {
	s := &Systems{Links: map[string]*proxy.Proxy{}}
	if err := s.start(cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Systems) start(cfg SystemsConfig) (err error) {
	cfg.SAP.User, cfg.SAP.Password = ERPUser, ERPPassword
	cfg.QMS.Token, cfg.WMS.Token, cfg.Notice.Token, cfg.Order.Token = QMSToken, WMSToken, NoticeToken, OrderToken
	if err := s.startERPs(cfg); err != nil {
		return err
	}
	if s.QMS, err = qms.New(cfg.QMS); err == nil {
		err = s.serve(QMS, s.QMS.Handler, s.QMS.Faults, s.QMS)
	}
	if err != nil {
		return err
	}
	if s.WMS, err = wms.New(cfg.WMS); err == nil {
		err = s.serve(WMS, s.WMS.Handler, s.WMS.Faults, s.WMS)
	}
	if err != nil {
		return err
	}
	if s.Notices, err = notice.New(cfg.Notice); err == nil {
		err = s.serve(Notice, s.Notices.Handler, s.Notices.Faults, s.Notices)
	}
	if err != nil {
		return err
	}
	if s.Orders, err = order.New(cfg.Order); err == nil {
		err = s.serve(Orders, s.Orders.Handler, s.Orders.Faults, s.Orders)
	}
	return err
}

func (s *Systems) startERPs(cfg SystemsConfig) (err error) {
	if s.SAP, err = sap.New(cfg.SAP); err == nil {
		err = s.serve(ERP, s.SAP.Handler, s.SAP.Faults, s.SAP)
	}
	if err != nil {
		return err
	}
	s.ERP = s.Links[ERP]
	for _, site := range cfg.Plants {
		if site.Scope == "" {
			continue
		}
		own := cfg.SAP
		own.Plant, own.BatchPlant = site.Scope, site.Scope
		if own.BookFile != "" {
			own.BookFile += "." + site.Plant
		}
		erp, err := sap.New(own)
		if err != nil {
			return err
		}
		scoped := ScopedERP{Simulator: erp, Plant: site.Plant}
		if err := s.serve(scoped.ID(), erp.Handler, erp.Faults, erp); err != nil {
			return err
		}
		s.Scoped = append(s.Scoped, scoped)
	}
	return nil
}

// serve serves a system on a free loopback port, behind a link.
func (s *Systems) serve(id string, h http.Handler, faults *fault.Set, books io.Closer) error {
	s.books, s.faults = append(s.books, books), append(s.faults, faults)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("system %s: %w", id, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with Close
	link, err := proxy.Start(l.Addr().String())
	if err != nil {
		return fmt.Errorf("link to system %s: %w", id, err)
	}
	s.Links[id] = link
	return nil
}

// ERPOf returns the ERP of a plant.
func (s *Systems) ERPOf(plant string) *sap.Simulator {
	for _, erp := range s.Scoped {
		if erp.Plant == plant {
			return erp.Simulator
		}
	}
	return s.SAP
}

// Faults returns the faults of every system.
func (s *Systems) Faults() []*fault.Set { return s.faults }

// At returns where the systems are: host:port by id.
func (s *Systems) At() map[string]string {
	at := map[string]string{}
	for id, link := range s.Links {
		at[id] = link.Addr()
	}
	return at
}

// ERPID returns the id of a plant's ERP.
func (s *Systems) ERPID(plant string) string {
	for _, erp := range s.Scoped {
		if erp.Plant == plant {
			return erp.ID()
		}
	}
	return ERP
}

// ERPBooks returns all effects on the ERPs so far, by their ids.
func (s *Systems) ERPBooks() map[string][]book.Entry {
	all := map[string][]book.Entry{ERP: s.SAP.Book()}
	for _, erp := range s.Scoped {
		all[erp.ID()] = erp.Book()
	}
	return all
}

// Close ends them, and closes their books.
func (s *Systems) Close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	for _, link := range s.Links {
		link.Close()
	}
	for _, b := range s.books {
		_ = b.Close()
	}
}
