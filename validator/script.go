package validator

import (
	"unicode"
	"unicode/utf8"
)

// A name with letters of two scripts can look like another one: "аdmin" with a
// Cyrillic first letter. Within one script the look-alikes are what Unicode keeps
// for compatibility with older codes: "ａdmin" in full width is all Latin.

// imitations are the blocks of such characters.
var imitations = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1d00, Hi: 0x1dbf, Stride: 1}, // phonetic extensions
		{Lo: 0x2000, Hi: 0x2bff, Stride: 1}, // punctuation to symbols, letter-like ones included
		{Lo: 0x3200, Hi: 0x33ff, Stride: 1}, // enclosed and squared CJK
		{Lo: 0xf900, Hi: 0xfdff, Stride: 1}, // compatibility ideographs, presentation forms A
		{Lo: 0xfe10, Hi: 0xfe6f, Stride: 1}, // vertical and small forms
		{Lo: 0xfe70, Hi: 0xffef, Stride: 1}, // presentation forms B, half and full width
	},
	R32: []unicode.Range32{
		{Lo: 0x1d400, Hi: 0x1d7ff, Stride: 1}, // mathematical letters
		{Lo: 0x1ee00, Hi: 0x1eeff, Stride: 1}, // Arabic mathematical letters
		{Lo: 0x1f000, Hi: 0x1ffff, Stride: 1}, // enclosed letters, pictures
		{Lo: 0x2f800, Hi: 0x2fa1f, Stride: 1}, // compatibility ideographs
	},
}

// latin are the letters beyond ASCII that living languages write with Latin ones,
// without dotless i, long s and the ligatures.
var latin = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00c0, Hi: 0x00d6, Stride: 1},
		{Lo: 0x00d8, Hi: 0x00f6, Stride: 1},
		{Lo: 0x00f8, Hi: 0x0130, Stride: 1},
		{Lo: 0x0134, Hi: 0x0137, Stride: 1},
		{Lo: 0x0139, Hi: 0x013e, Stride: 1},
		{Lo: 0x0141, Hi: 0x0148, Stride: 1},
		{Lo: 0x014a, Hi: 0x017e, Stride: 1},
		{Lo: 0x01a0, Hi: 0x01a1, Stride: 1}, // Vietnamese
		{Lo: 0x01af, Hi: 0x01b0, Stride: 1},
		{Lo: 0x0218, Hi: 0x021b, Stride: 1}, // Romanian
		{Lo: 0x1ea0, Hi: 0x1ef9, Stride: 1}, // Vietnamese
	},
}

// mixedScript gives the reason why a printable name may look like another: its
// letters are not all of one script, or not of those that people write with.
// Digits and punctuation of ASCII belong to every script.
func mixedScript(s string) (reason string) {
	script := ""
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			if script == "" {
				script = "Latin"
			}
			if script != "Latin" {
				return "mixes " + script + " and Latin letters"
			}
			continue
		case r < utf8.RuneSelf:
			continue
		case unicode.Is(imitations, r), !unicode.In(r, unicode.L, unicode.M, unicode.Nd):
			return "has a character that can look like another"
		}
		name := scriptOf(r)
		switch {
		case name == "" || name == "Common" || name == "Inherited":
			// An accent on its own among them: é has one spelling, not two.
			return "has a character that can look like another"
		case name == "Latin" && !unicode.Is(latin, r):
			return "has a character that can look like another"
		case script == "":
			script = name
		case script != name:
			return "mixes " + script + " and " + name + " letters"
		}
	}
	return ""
}

func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
