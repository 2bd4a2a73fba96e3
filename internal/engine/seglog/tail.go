package seglog

// tail is the end of a segment that nothing proves to be on the disk: a killed life may have left
// it in the kernel's memory. To sync it would prove nothing, for where an earlier start has failed
// to, the kernel has forgotten that there is anything to write. Copied into the next segment before
// it is delivered, it can't go away any more.
type tail struct {
	from     int64    // where it begins; everything below is durable
	firstSeq uint64   // of the event there
	chunks   []*chunk // what is readable of it; none of it is damaged
}

// size is the number of bytes that the copy takes.
func (t *tail) size() int64 {
	if t == nil {
		return 0
	}
	size := int64(sectorBytes) // of the mark
	for _, c := range t.chunks {
		frame := int64(frameHeaderBytes)
		for _, rec := range c.records {
			frame += rec.bytes
		}
		size += alignUp(frame)
	}
	return size
}

// copyTo appends the frames of the tail to what a segment with the salt begins with, and behind
// them a mark. They are synced before the segment gets its name, so that its name proves them.
func (t *tail) copyTo(content []byte, salt uint64) []byte {
	if t == nil {
		return content
	}
	next := t.firstSeq
	for _, c := range t.chunks {
		frame := groupOf(c.records).seal(salt, int64(len(content)), dataStart, c.firstSeq)
		content = append(content, frame...)
		content = append(content, make([]byte, alignUp(int64(len(frame)))-int64(len(frame)))...)
		next = c.nextSeq()
	}
	offset := int64(len(content))
	content = append(content, make([]byte, sectorBytes)...)
	frameHeader{
		kind: frameMark, salt: salt, offset: offset, firstSeq: next, durableUpTo: offset,
	}.encode(content[offset:])
	return content
}
