package feed

// Interned is how many strings d holds.
func (d *Decoder) Interned() int { return len(d.strings) }
