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

// distance is how many letters have to be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
