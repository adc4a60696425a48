package codec

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Diagnostic prints data in the diagnostic notation of RFC 8949, section 8, for people:
// one item, or several as a sequence with commas between. It also reads much that
// this package refuses, and shows it as it is: indefinite lengths as [_ 1], heads that
// are not in their shortest form with the encoding indicators _0 to _3. If Check would
// refuse the data, the text is followed by that error; where data cannot be read
// any further, the text ends there. The text is at most 16 times as long as the data.
func Diagnostic(data []byte) (string, error) {
	d := diagnostic{data: data}
	d.sequence()
	c := checker{data: data}
	for off := 0; off < len(data); {
		next, err := c.item(off, 0)
		if err != nil {
			return string(d.out), located(err, data, nil, off > 0)
		}
		off = next
	}
	if len(data) == 0 {
		return "", failf(0, "the message ends where a data item should begin")
	}
	return string(d.out), nil
}

// diagnostic appends to out as it reads. Its methods return where the item ends, and
// false if it cannot be read; what was written until then stays.
type diagnostic struct {
	data []byte
	out  []byte
}

// diagnosticDepth bounds the recursion; what nests deeper is not printed.
const diagnosticDepth = 4 * MaxDepth

func (d *diagnostic) sequence() {
	for off, ok := 0, true; off < len(d.data); {
		if off > 0 {
			d.text(", ")
		}
		if off, ok = d.item(off, 0); !ok {
			return
		}
	}
}

func (d *diagnostic) text(s string) { d.out = append(d.out, s...) }

func (d *diagnostic) item(off, depth int) (int, bool) {
	major, arg, next, ok := readHead(d.data, off)
	if !ok || depth > diagnosticDepth {
		return off, false
	}
	if d.data[off]&0x1f == infoIndefinite {
		return d.indefinite(off, depth)
	}
	switch major {
	case majorUint, majorNegInt:
		d.text(intText(major == majorNegInt, arg))
		d.text(indicator(d.data[off], arg))
		return next, true
	case majorBytes, majorText:
		return d.str(off, next, arg)
	case majorArray, majorMap:
		return d.container(off, next, arg, depth)
	case majorTag:
		return d.tag(off, next, arg, depth)
	}
	return d.simple(off, next, arg)
}

// intText prints an integer of 64 bits and a sign.
func intText(negative bool, arg uint64) string {
	switch {
	case !negative:
		return strconv.FormatUint(arg, 10)
	case arg == math.MaxUint64:
		return "-18446744073709551616"
	default:
		return "-" + strconv.FormatUint(arg+1, 10)
	}
}

// indicator says how a head was written, if that is not the shortest form.
func indicator(b byte, arg uint64) string {
	info := b & 0x1f
	if info < 24 || info > 27 || arg > [4]uint64{23, math.MaxUint8, math.MaxUint16, math.MaxUint32}[info-24] {
		return ""
	}
	return "_" + string('0'+rune(info-24))
}

func (d *diagnostic) str(off, next int, n uint64) (int, bool) {
	if n > uint64(len(d.data)-next) {
		return off, false
	}
	end := next + int(n)
	content := d.data[next:end]
	if d.data[off]>>5 == majorBytes {
		d.text("h'")
		d.out = hex.AppendEncode(d.out, content)
		d.text("'")
	} else if utf8.Valid(content) {
		d.quote(content)
	} else {
		return off, false
	}
	d.text(indicator(d.data[off], n))
	return end, true
}

// quote writes text as JSON does; what does not print, or could reorder the line, is escaped.
func (d *diagnostic) quote(content []byte) {
	d.text(`"`)
	for _, r := range string(content) {
		switch {
		case r == '"' || r == '\\':
			d.out = append(d.out, '\\', byte(r))
		case strconv.IsPrint(r):
			d.out = utf8.AppendRune(d.out, r)
		case r == '\n':
			d.text(`\n`)
		case r == '\t':
			d.text(`\t`)
		case r > 0xffff: // as a surrogate pair
			d.escape(0xd800 + (r-0x10000)>>10)
			d.escape(0xdc00 + (r-0x10000)&0x3ff)
		default:
			d.escape(r)
		}
	}
	d.text(`"`)
}

func (d *diagnostic) escape(r rune) {
	d.text(`\u`)
	d.out = hex.AppendEncode(d.out, []byte{byte(r >> 8), byte(r)})
}

var brackets = map[byte][2]string{
	majorArray: {"[", "]"}, majorMap: {"{", "}"},
	majorBytes: {"(", ")"}, majorText: {"(", ")"}, // of chunks
}

func (d *diagnostic) container(off, next int, n uint64, depth int) (int, bool) {
	major := d.data[off] >> 5
	d.text(brackets[major][0])
	if mark := indicator(d.data[off], n); mark != "" {
		d.text(mark + " ")
	}
	for i, ok := uint64(0), true; i < n; i++ {
		if i > 0 {
			d.text(", ")
		}
		if next, ok = d.element(major, next, depth+1); !ok {
			return off, false
		}
	}
	d.text(brackets[major][1])
	return next, true
}

// element is an item of an array or a chunk of a string, or a pair of a map.
func (d *diagnostic) element(major byte, off, depth int) (int, bool) {
	next, ok := d.item(off, depth)
	if ok && major == majorMap {
		d.text(": ")
		next, ok = d.item(next, depth)
	}
	return next, ok
}

func (d *diagnostic) indefinite(off, depth int) (int, bool) {
	major := d.data[off] >> 5
	if major < majorBytes || major > majorMap {
		return off, false // a break, or reserved
	}
	d.text(brackets[major][0] + "_ ")
	next, ok := off+1, true
	for i := 0; next < len(d.data) && d.data[next] != byteBreak; i++ {
		if i > 0 {
			d.text(", ")
		}
		// The chunks of a string are definite strings of the same type.
		if b := d.data[next]; major <= majorText && (b>>5 != major || b&0x1f == infoIndefinite) {
			return off, false
		}
		if next, ok = d.element(major, next, depth+1); !ok {
			return off, false
		}
	}
	if next == len(d.data) {
		return off, false
	}
	d.text(brackets[major][1])
	return next + 1, true
}

func (d *diagnostic) tag(off, next int, tag uint64, depth int) (int, bool) {
	if end, ok := d.bignum(off, next, tag); ok {
		return end, true
	}
	d.text(strconv.FormatUint(tag, 10) + indicator(d.data[off], tag) + "(")
	end, ok := d.item(next, depth+1)
	if !ok {
		return off, false
	}
	d.text(")")
	return end, true
}

// bignum prints tags 2 and 3 as numbers, if they are in their shortest form and not
// so long that converting them would be work.
func (d *diagnostic) bignum(off, next int, tag uint64) (int, bool) {
	major, n, content, ok := readHead(d.data, next)
	if !ok || d.data[off]&0x1f != byte(tag) || tag < 2 || tag > 3 || major != majorBytes ||
		n <= 8 || n > 64 || n > uint64(len(d.data)-content) || d.data[content] == 0 || indicator(d.data[next], n) != "" {
		return off, false
	}
	end := content + int(n)
	i := new(big.Int).SetBytes(d.data[content:end])
	if tag == 3 {
		i.Not(i) // -1-i
	}
	d.out = i.Append(d.out, 10)
	return end, true
}

func (d *diagnostic) simple(off, next int, arg uint64) (int, bool) {
	switch b := d.data[off]; b {
	case byteFalse:
		d.text("false")
	case byteTrue:
		d.text("true")
	case byteNull:
		d.text("null")
	case byteUndefined:
		d.text("undefined")
	case byteFloat16, byteFloat32, byteFloat64:
		d.float(off)
	default:
		if b == 0xf8 && arg < 32 {
			return off, false // RFC 8949, section 3.3: not well-formed
		}
		d.text("simple(" + strconv.FormatUint(arg, 10) + ")")
	}
	return next, true
}

func (d *diagnostic) float(off int) {
	f := readFloat(d.data, off)
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		d.text("NaN")
	case math.IsInf(f, 1):
		d.text("Infinity")
	case math.IsInf(f, -1):
		d.text("-Infinity")
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		d.out = append(d.out, exponentText(f)...)
	case f == math.Trunc(f):
		d.out = strconv.AppendFloat(d.out, f, 'f', 1, 64)
	default:
		d.out = strconv.AppendFloat(d.out, f, 'f', -1, 64)
	}
	b, bits := d.data[off], math.Float32bits(float32(f))
	exact := f != f || float64(float32(f)) == f
	if b == byteFloat64 && exact || b == byteFloat32 && float16Holds(bits) {
		d.text("_" + string('1'+rune(b-byteFloat16)))
	}
}

// exponentText writes 1.0e+300 and 5.96e-8: as JavaScript does, but for the ".0".
func exponentText(f float64) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	return mantissa + "e" + exponent[:1] + strings.TrimPrefix(exponent[1:], "0")
}
