package node

import "fmt"

// Descriptors that connections must leave to the rest of the server.
const (
	descriptorsOfServer      = 12 // the log, its directory, letters and their temporary files, a connection that is handed over
	descriptorsOfDestination = 12 // a database with its log, for one writer and four readers
	maxAdminConnections      = 256
	minAdminConnections      = 4
	minPublicConnections     = 4
)

// connections is how many each listener may have.
type connections struct{ public, admin int }

// shareDescriptors makes room for both listeners within the limit of descriptors, of which some are
// open. The public one has at most what is wanted, and is the one that gets less.
func shareDescriptors(limit, open, destinations, wanted int) (connections, error) {
	left := limit - open - descriptorsOfServer - descriptorsOfDestination*destinations
	admin := min(maxAdminConnections, max(minAdminConnections, left/8))
	public := min(wanted, left-admin)
	if public < min(wanted, minPublicConnections) {
		return connections{}, fmt.Errorf("the limit of open files is %d, of which %d are open and %d are kept for what is stored; raise it (ulimit -n, or LimitNOFILE=) by %d at least",
			limit, open, limit-open-left, minPublicConnections+admin-left)
	}
	return connections{public, admin}, nil
}
