package deadletterfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"pillarbox"
)

// MaxFileBytes is the largest file that is read as a letter. An event is at most 32 MiB as it is
// queued, and its worst text takes six bytes in JSON for each (a control character); attempts and
// indentation come on top.
const MaxFileBytes = 256 << 20

// Encode writes the letter as the content of a file, with the resolution given. It reads its own
// writing, so that no letter is kept that could not be read again. The error matches ErrInvalid.
func Encode(letter *pillarbox.DeadLetter, resolution *pillarbox.Resolution) (ID, []byte, error) {
	if !validDestination(letter.Destination) {
		return ID{}, nil, pillarbox.Invalid("destination %q can not stand in a file name",
			letter.Destination)
	}
	if letter.Event == nil {
		return ID{}, nil, pillarbox.Invalid("dead letter without event")
	}
	form := *letter
	form.Resolved = resolution
	if form.Version == 0 {
		form.Version = pillarbox.DeadLetterVersion
	}
	if form.Attempts == nil {
		form.Attempts = []pillarbox.Attempt{}
	}
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(form); err != nil {
		return ID{}, nil, fmt.Errorf("encode dead letter: %w: %w", pillarbox.ErrInvalid, err)
	}
	if content.Len() > MaxFileBytes {
		return ID{}, nil, fmt.Errorf("dead letter has %d bytes as JSON, a file may have %d: %w: %w",
			content.Len(), MaxFileBytes, pillarbox.ErrInvalid, pillarbox.ErrTooLarge)
	}
	named := IDOf(letter.Destination, letter.Event.Key())
	if _, err := Decode(content.Bytes(), named, StateOf(resolution)); err != nil {
		return ID{}, nil, fmt.Errorf("dead letter can not be written as JSON: %w: %w",
			pillarbox.ErrInvalid, err)
	}
	return named, content.Bytes(), nil
}

// Decode reads the content of a file and checks it against the name.
func Decode(content []byte, named ID, state State) (*pillarbox.DeadLetter, error) {
	letter := new(pillarbox.DeadLetter)
	if err := json.Unmarshal(content, letter); err != nil {
		return nil, err
	}
	switch {
	case letter.Version < pillarbox.DeadLetterVersion:
		return nil, fmt.Errorf("version %d", letter.Version)
	case letter.Event == nil:
		return nil, errors.New("no event")
	case IDOf(letter.Destination, letter.Event.Key()) != named:
		return nil, errors.New("the name is another letter's")
	case StateOf(letter.Resolved) != state:
		return nil, errors.New("the name and the content disagree on whether it is resolved")
	}
	return letter, nil
}

// StateOf returns the state that a resolution leads to; nil is open.
func StateOf(resolution *pillarbox.Resolution) State {
	switch {
	case resolution == nil:
		return Open
	case resolution.How == pillarbox.ResolvedReplayed:
		return Replayed
	default:
		return Discarded
	}
}

// Corrupt says where the file is damaged, as far as JSON tells.
func Corrupt(file string, err error) error {
	var offset int64
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	return &pillarbox.CorruptError{File: file, Offset: offset, Reason: err.Error()}
}
