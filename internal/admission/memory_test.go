package admission

import "testing"

// TestLargeBodiesLeaveRoomForSmallOnes, and one that is alone gets what it needs.
func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	m := NewMemory(1 << 20)
	large := 0
	for m.Grow(0, 2*SmallBody) {
		large++
	}
	if large != 7 || m.Held() != 7*2*SmallBody {
		t.Fatalf("%d large bodies hold %d", large, m.Held())
	}
	small := 0
	for m.Grow(0, 1024) {
		small++
	}
	if small != 128 {
		t.Errorf("%d small bodies", small)
	}
	m.Shrink(m.Held())
	if !m.Grow(0, 1<<19) || !m.Grow(1<<19, 2<<20) || m.Grow(0, 1) {
		t.Error("one that is alone does not get what it needs, or others beside it")
	}
	if m.Grow(2<<20, 3<<20); m.Held() != 3<<20 {
		t.Errorf("%d are held", m.Held())
	}
}
