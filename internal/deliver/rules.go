package deliver

import "pillarbox"

// What an event is meant for is fixed when it is accepted; the configuration of today decides what is done about it:
//
//	meant for the destination then | taken today | another has it, then and today | what becomes of it
//	no                             | -           | -                               | skipped: its source was not taken
//	yes, or by a person's word     | yes         | -                               | delivered
//	yes                            | no          | yes                             | skipped: elsewhere
//	yes                            | no          | no                              | held
//	not known                      | no          | yes                             | skipped: its source was not taken
//	not known                      | no          | no                              | held

// Holds reports whether no destination takes the event any more although this one was meant to.
func (r Rules) Holds(delivery *pillarbox.Delivery) bool {
	return !r.takes(delivery) && (delivery.Rule == nil || delivery.Rule.Takes(delivery.Event)) && !r.elsewhere(delivery)
}

// skips returns the rule by which the event is not for the destination, and "" where it is.
func (r Rules) skips(delivery *pillarbox.Delivery) string {
	switch {
	case delivery.Routed || r.Rule == nil:
		return ""
	case delivery.Rule != nil && !delivery.Rule.Takes(delivery.Event):
		return pillarbox.SkippedSource
	case r.takes(delivery):
		return ""
	case delivery.Rule == nil:
		return pillarbox.SkippedSource
	}
	return pillarbox.SkippedElsewhere
}

func (r Rules) takes(delivery *pillarbox.Delivery) bool {
	return delivery.Routed || r.Rule == nil || r.Rule.Takes(delivery.Event)
}

func (r Rules) elsewhere(delivery *pillarbox.Delivery) bool {
	return r.Elsewhere != nil && r.Elsewhere(delivery.Handle, delivery.Event)
}
