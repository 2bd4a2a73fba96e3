package files

import (
	"path"

	"pillarbox"
)

// Encode returns the name and the content of the file of a letter.
func Encode(letter *pillarbox.DeadLetter) (name string, content []byte, err error) {
	named, content, err := encode(letter, letter.Resolved)
	if err != nil {
		return "", nil, err
	}
	return nameOf(named, placeOf(letter.DeadAt, stateOf(letter.Resolved))), content, nil
}

// Reparse reads a name and writes it again.
func Reparse(name string) (string, bool) {
	day, ok := parseDay(path.Dir(name))
	if !ok {
		return "", false
	}
	letter, in, ok := parseName(path.Base(name))
	return nameOf(letter, place{day: day.day, state: in}), ok
}
