package node

import (
	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/ledger"
)

// wiring is the destinations in force, and what writes to each. It never changes once it is used: a
// reload makes another one.
type wiring struct {
	table *destination.Table
	sinks map[string]*deliver.Guard // for whoever writes
	loops map[string]*deliver.Loop  // of what is not configured any more too
}

// table returns the destinations that are in force.
func (n *Node) table() *destination.Table { return n.wired.Load().table }

// sink returns what writes to a destination, and nil where it is not configured.
func (n *Node) sink(name string) *deliver.Guard { return n.wired.Load().sinks[name] }

// guard makes what writes to a destination of one of the sinks.
func (n *Node) guard(name string, sinks map[string]pillarbox.Sink) (*deliver.Guard, error) {
	sink := sinks[name]
	if sink == nil {
		return nil, pillarbox.Invalid("the destination %s has no sink", name)
	}
	return deliver.NewGuard(name, sink, n.logger), nil
}

// ledgerDestinations are those in force as the ledger sees them: without the guard of writes.
func (n *Node) ledgerDestinations() []ledger.Destination {
	wired := n.wired.Load()
	var all []ledger.Destination
	for _, d := range wired.table.All() {
		all = append(all, ledger.Destination{Destination: d, Sink: wired.sinks[d.Name].Sink, OnWay: n.canary.Waiting(d.Name)})
	}
	return all
}
