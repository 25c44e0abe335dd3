// Package sap is a simulator of the part of SAP S/4HANA that a quality mesh talks to: the OData version 2 services for
// batches, material stock and material documents. It behaves as SAP documents it, down to ETags, session tokens,
// dates, stripped zeros and the stock that SAP moves by itself when a batch's restriction changes.
//
// Every effect is entered in a [book.Book], so that a test counts effects where they take place. Faults come from
// package fault, by [Simulator.Faults] or by POST /control; GET /book shows the book.
//
// Not modelled: inspection lots as objects (only that their stock cannot be posted past them), $batch, valuation,
// several units of measure, and whole movement types that no effect here uses.
package sap
