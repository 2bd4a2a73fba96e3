package sqlite

import "pillarbox"

// headerText returns the JSON form of the headers, as text of the table, and their encoding.
func headerText(header pillarbox.Header) (text, encoding string, err error) {
	header, encoding = header.Encoded()
	form, err := header.MarshalJSON()
	return string(form), encoding, err
}
