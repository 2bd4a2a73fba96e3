package config

// Nearest returns the known name that is most like the one that was written, or "" where none is
// near enough to be meant.
func Nearest(name string, known []string) string {
	best, nearest := len(name)/3+1, ""
	for _, candidate := range known {
		if far := distance(name, candidate); far < best {
			best, nearest = far, candidate
		}
	}
	return nearest
}

// distance is how many letters have to be put in, left out, changed, or swapped with the next one
// to make b of a. A swap is one mistake: it is the one that fingers make most.
func distance(a, b string) int {
	var before []int // the row above the last one
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
