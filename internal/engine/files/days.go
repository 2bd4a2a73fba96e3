package files

func (x *index) dayLocked(day int32) *rows {
	file := x.days[day]
	if file == nil {
		file = &rows{fsys: x.fsys, keys: x.keys, name: rowsName(x.dir, place{Day: day})}
		x.days[day] = file
	}
	if file.file == nil {
		x.tidyLocked()
	}
	return file
}

// tidyLocked closes files that are not used now. What is written to them stays.
func (x *index) tidyLocked() {
	opened := 0
	for _, day := range x.days {
		if day.file != nil {
			opened++
		}
	}
	if opened < maxOpenDays {
		return
	}
	for _, day := range x.days {
		_ = day.close() // nothing hangs on it: sync opens it anew
	}
}
