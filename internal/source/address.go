package source

import (
	"net/http"
	"net/netip"
	"slices"

	"pillarbox/internal/protocol"
)

// errAddress is the answer to whoever comes from where nobody may. Which rule it was is for our side
// alone.
var errAddress = &protocol.Error{Status: http.StatusForbidden,
	Detail: "requests from this address are not accepted here; nothing was stored"}

// addresses says from where requests may come. It never changes.
type addresses struct{ allow, deny []netip.Prefix }

// newAddresses returns nil for a source that is open to every address.
func newAddresses(settings *Settings) *addresses {
	if len(settings.Allow)+len(settings.Deny) == 0 {
		return nil
	}
	return &addresses{settings.Allow, settings.Deny}
}

// check refuses an address that is denied, that is not among those allowed, or that is none. A
// denial goes first.
func (a *addresses) check(remote string) error {
	address, err := netip.ParseAddr(remote)
	if err != nil {
		return errAddress
	}
	address = address.Unmap().WithZone("")
	within := func(prefix netip.Prefix) bool { return prefix.Contains(address) }
	if slices.ContainsFunc(a.deny, within) ||
		len(a.allow) > 0 && !slices.ContainsFunc(a.allow, within) {
		return errAddress
	}
	return nil
}
