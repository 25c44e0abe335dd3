// Package sap is a simulator of the part of SAP S/4HANA that a quality mesh talks to: the OData version 2 services for
// batches, material stock, material documents and inspection lots. It behaves as SAP documents it, down to ETags, session
// tokens, dates, stripped zeros and the stock that SAP moves by itself when a batch's restriction changes.
//
// A material can be under quality management: its goods receipts make an inspection lot each, and their stock waits in
// inspection until the lot's usage decision and the posting that follows it.
//
// Every effect is entered in a [book.Book], with the usage that the batch had afterwards, so that a test counts effects
// where they take place. Faults come from package fault, by [Simulator.Faults] or by POST /control; GET /book shows the
// book. [Simulator.Play], or POST /hand, does what a person does in the system, past the API.
//
// Not modelled: inspection plans and characteristics, partial lots, valuation, several units of measure, the second item of
// a transfer, and movement types besides receipts, issues, deliveries, scrap and changes of the stock type.
package sap
