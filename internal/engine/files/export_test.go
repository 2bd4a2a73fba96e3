package files

import (
	"path"

	"pillarbox"
	"pillarbox/internal/letterfile"
)

// Encode returns the name and the content of the file of a letter.
func Encode(letter *pillarbox.DeadLetter) (name string, content []byte, err error) {
	named, content, err := letterfile.Encode(letter, letter.Resolved)
	if err != nil {
		return "", nil, err
	}
	return letterfile.Name(named, letterfile.PlaceOf(letter.DeadAt, letterfile.StateOf(letter.Resolved))), content, nil
}

// Reparse reads a name and writes it again.
func Reparse(name string) (string, bool) {
	day, ok := letterfile.ParseDay(path.Dir(name))
	if !ok {
		return "", false
	}
	letter, in, ok := letterfile.ParseFileName(path.Base(name))
	return letterfile.Name(letter, place{Day: day.Day, State: in}), ok
}
