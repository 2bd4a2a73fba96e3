package intake

// Split cuts a batch and returns its items; a nil item is one that was rejected.
func Split(form string, body []byte, limit int) ([][]byte, error) {
	items, err := split(nil, form, body, limit)
	bodies := make([][]byte, len(items))
	for i, it := range items {
		bodies[i] = it.body
	}
	return bodies, err
}
