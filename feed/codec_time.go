package feed

import "encoding/binary"

// time reads a string in RFC 3339.
func (d *Decoder) time(b []byte, i int) (int64, int, bool) {
	const date, clock = len("2006-01-02"), len("2006-01-02T15:04:05")
	if i+1+clock+1 >= len(b) || b[i] != '"' {
		return 0, i, false
	}
	s := b[i+1:]
	us, ok := d.day(s)
	// All eight bytes of "15:04:05" at once: digits where digits belong, each
	// pair below its limit.
	hms := binary.LittleEndian.Uint64(s[date+1:]) ^ 0x30303a30303a3030
	if !ok || s[date] != 'T' || (hms+0x7676007676007676|hms)&0x8080ff8080ff8080 != 0 {
		return 0, i, false
	}
	hour := (hms&0xf)*10 + hms>>8&0xf
	minute := (hms>>24&0xf)*10 + hms>>32&0xf
	second := (hms>>48&0xf)*10 + hms>>56&0xf
	if hour > 23 || minute > 59 || second > 59 {
		return 0, i, false
	}
	us += int64(hour*3600+minute*60+second) * microsPerSecond
	j := clock
	if s[j] == '.' {
		j++
		scale, first := int64(microsPerSecond/10), j
		for j < len(s) {
			c := s[j] - '0'
			if c > 9 {
				break
			}
			us += int64(c) * scale
			scale /= 10 // to 0 after six digits: the rest is cut off
			j++
		}
		if j == first {
			return 0, i, false
		}
	}
	if j+1 < len(s) && s[j] == 'Z' && s[j+1] == '"' {
		return us, i + 1 + j + 2, true
	}
	return offset(s, i+1, j, us)
}

// offset reads the "+01:00" that ends a time and moves us to UTC.
func offset(s []byte, base, j int, us int64) (int64, int, bool) {
	if j+6 >= len(s) || (s[j] != '+' && s[j] != '-') || s[j+3] != ':' || s[j+6] != '"' {
		return 0, j, false
	}
	h, ok1 := two(s[j+1:])
	m, ok2 := two(s[j+4:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, j, false
	}
	shift := (h*3600 + m*60) * microsPerSecond
	if s[j] == '+' {
		shift = -shift
	}
	return us + shift, base + j + 7, true
}

func two(s []byte) (int64, bool) {
	a, b := s[0]-'0', s[1]-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}

var monthDays = [13]int64{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// day returns midnight of the date s begins with. Most ticks are of the day of
// the one before, so that one is remembered.
func (d *Decoder) day(s []byte) (int64, bool) {
	head, tail := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint16(s[8:])
	if head == d.date && tail == d.dateEnd {
		return d.midnite, true
	}
	c, ok1 := two(s)
	y, ok2 := two(s[2:])
	m, ok3 := two(s[5:])
	day, ok4 := two(s[8:])
	y += c * 100
	if !(ok1 && ok2 && ok3 && ok4) || s[4] != '-' || s[7] != '-' || m < 1 || m > 12 || day < 1 {
		return 0, false
	}
	last := monthDays[m]
	if m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		last = 29
	}
	if day > last {
		return 0, false
	}
	d.date, d.dateEnd, d.midnite = head, tail, days(y, m, day)*microsPerDay
	return d.midnite, true
}
