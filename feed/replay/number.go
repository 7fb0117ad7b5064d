package replay

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numbers reads the numbers of one file.
type numbers struct {
	decimal byte // '.' or ','; 0 if the file does not tell
}

// errNone is what an empty cell gives.
var errNone = errors.New("want a number, got nothing")

// none reports whether a cell says that there is no value.
func none(s string) bool {
	switch len(s) {
	case 0:
		return true
	case 1:
		return s == "-"
	case 2, 3, 4:
		switch strings.ToLower(s) {
		case "nan", "null", "none", "n/a", "na", "#n/a", "--", "nil":
			return true
		}
	}
	return false
}

// unlimited is from where on a number is a mark for "no price": 2^63-1 of fixed
// point, and what is above it.
const unlimited = 9.2233720368547e18

// unlimited9 is that mark in units of 1e-9.
const unlimited9 = 9223372036.854775807

// parse reads a number: an optional currency sign, separators of thousands, one of
// the decimals, and K, M, B, T or % behind it.
func (n *numbers) parse(cell string) (float64, error) {
	if v, ok := simple(cell); ok && (n.decimal == '.' || strings.IndexByte(cell, '.') < 0 || n.decimal == 0) {
		return v, nil
	}
	s := trim(cell)
	if none(s) {
		return 0, errNone
	}
	negative, unit := false, 1.0
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		negative, s = true, s[1:len(s)-1]
	}
	if rest, ok := strings.CutPrefix(s, "-"); ok && !negative {
		negative, s = true, rest
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	s = trim(unsigned(s))
	if len(s) > 1 {
		switch s[len(s)-1] {
		case 'K', 'k':
			unit = 1e3
		case 'M', 'm':
			unit = 1e6
		case 'B', 'b':
			unit = 1e9
		case 'T', 't':
			unit = 1e12
		case '%':
			unit = 0.01
		}
		if unit != 1 {
			s = trim(s[:len(s)-1])
		}
	}
	plain, err := n.plain(s)
	if err != nil {
		return 0, fmt.Errorf("%w, got %q", err, clip(cell))
	}
	v, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, fmt.Errorf("want a number, got %q", clip(cell))
	}
	if unit != 1 {
		// By digits: 71.77M is 71770000, which 71.77 * 1e6 need not be.
		exponent := map[float64]string{1e3: "e3", 1e6: "e6", 1e9: "e9", 1e12: "e12", 0.01: "e-2"}[unit]
		if strings.ContainsAny(plain, "eE") {
			return 0, fmt.Errorf("want a number, got %q", clip(cell))
		}
		v, _ = strconv.ParseFloat(plain+exponent, 64)
	}
	if negative {
		v = -v
	}
	return v, nil
}

// plain returns a number without separators of thousands.
func (n *numbers) plain(s string) (string, error) {
	want := errors.New("want a number")
	if s == "" || strings.Trim(s, "0123456789.,' \u00a0\u202feE+-") != "" || s[0] == '+' || s[0] == '-' {
		return "", want
	}
	decimal := n.decimal
	if decimal == 0 {
		decimal = '.'
		if whole, frac, ok := strings.Cut(s, ","); ok && !strings.Contains(s, ".") && len(frac) == 3 && len(whole) <= 3 {
			return "", errors.New("want a number whose comma is known to be of thousands or of decimals, as --decimal says")
		}
	}
	mark := byte(',')
	if decimal == ',' {
		mark = '.'
	}
	whole, frac, _ := strings.Cut(s, string(rune(decimal)))
	groups, ok := grouped(whole, mark)
	if !ok || strings.IndexByte(frac, mark) >= 0 || strings.IndexByte(frac, decimal) >= 0 {
		if strings.IndexByte(s, mark) >= 0 {
			return "", fmt.Errorf("want a number whose decimal separator is %q, as in the rest of the file or as --decimal says", rune(decimal))
		}
		return "", want
	}
	if !strings.Contains(s, string(rune(decimal))) {
		return groups, nil
	}
	return groups + "." + frac, nil
}

// grouped removes separators of thousands: 1,234,567 or, in India, 12,34,567.
func grouped(s string, mark byte) (string, bool) {
	for _, m := range []string{string(rune(mark)), "'", "\u00a0", "\u202f", " "} {
		if !strings.Contains(s, m) {
			continue
		}
		parts := strings.Split(s, m)
		for i, p := range parts {
			if strings.Trim(p, "0123456789") != "" {
				return "", false
			}
			switch {
			case i == 0 && (len(p) < 1 || len(p) > 3):
				return "", false
			case i == len(parts)-1 && len(p) != 3:
				return "", false
			case i > 0 && len(p) != 3 && (len(p) != 2 || mark != ',' || len(parts[0]) > 2):
				return "", false
			}
		}
		return strings.Join(parts, ""), true
	}
	return s, true
}

// simple reads the usual form at once.
func simple(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' && (i > 0 || s[i] != '-') {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

func trim(s string) string {
	inner := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' }
	if s == "" || inner(s[0]) && inner(s[len(s)-1]) {
		return s
	}
	return strings.Trim(s, " \t\"\u00a0\u202f\ufeff")
}

// unsigned removes a currency sign.
func unsigned(s string) string {
	for _, sign := range []string{"$", "€", "£", "¥", "₹", "₩", "US$", "Rs."} {
		if rest, ok := strings.CutPrefix(s, sign); ok {
			return rest
		}
		if rest, ok := strings.CutSuffix(s, sign); ok {
			return rest
		}
	}
	return s
}

// learn finds the decimal separator of a file in cells of numbers: '.' or ',', 0
// if none tells, and false if they disagree.
func learn(cells func(yield func(string) bool)) (byte, bool) {
	var dots, commas bool
	for cell := range cells {
		s := trim(cell)
		if len(s) > 0 && strings.ContainsAny(s[len(s)-1:], "KMBTkmbt%") {
			s = s[:len(s)-1]
		}
		s = trim(unsigned(strings.TrimLeft(s, "+-(")))
		if strings.Trim(s, "0123456789.,' \u00a0\u202f)") != "" {
			continue
		}
		dot, comma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
		nDots, nCommas := strings.Count(s, "."), strings.Count(s, ",")
		switch {
		case dot >= 0 && comma >= 0:
			dots, commas = dots || dot > comma, commas || comma > dot
		case nCommas > 1:
			dots = true
		case nDots > 1:
			commas = true
		case nDots == 1: // 1.234 is a decimal point too: no vendor separates thousands with points only
			if len(s)-dot-1 != 3 || dot > 3 || dot == 0 || s[0] == '0' {
				dots = true
			}
		case nCommas == 1 && (len(s)-comma-1 != 3 || comma > 3 || comma == 0 || s[0] == '0'):
			commas = true
		}
	}
	switch {
	case dots && commas:
		return 0, false
	case dots:
		return '.', true
	case commas:
		return ',', true
	}
	return 0, true
}
