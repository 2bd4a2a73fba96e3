package node

import "testing"

// TestConnectionsLeaveDescriptors to the rest of the server, whatever the limit.
func TestConnectionsLeaveDescriptors(t *testing.T) {
	for limit := range 100_000 {
		may, err := shareDescriptors(limit, 20, 1, 20_000)
		if needed := 20 + descriptorsOfServer + descriptorsOfDestination + minAdminConnections + minPublicConnections; (err != nil) != (limit < needed) {
			t.Fatalf("limit %d: %v", limit, err)
		}
		if err != nil {
			continue
		}
		if rest := limit - may.public - may.admin; rest < 20+descriptorsOfServer+descriptorsOfDestination || may.public < minPublicConnections || may.public > 20_000 ||
			may.admin < minAdminConnections || may.admin > maxAdminConnections {
			t.Fatalf("limit %d: %+v", limit, may)
		}
	}
	if may, err := shareDescriptors(1<<20, 20, 3, 20_000); err != nil || may.public != 20_000 ||
		may.admin != maxAdminConnections {
		t.Errorf("%+v, %v", may, err)
	}
	if may, err := shareDescriptors(100, 20, 1, 2); err != nil || may.public != 2 {
		t.Errorf("%+v, %v", may, err)
	}
}
