package weights

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"gcnn/internal/atomicfile"

	"gorgonia.org/tensor"
)

// The format is that of https://github.com/huggingface/safetensors: 8 bytes of header length n, little-endian; n bytes
// of JSON, an object of {"dtype", "shape", "data_offsets": [begin, end]} by name, and of strings under "__metadata__";
// then the data, without a gap and without an overlap.
const (
	maxHeader   = 100_000_000 // the reference implementation's bound
	headerAlign = 8           // the header is padded with spaces, so that the data is aligned in a mapped file
	metadataKey = "__metadata__"
)

// entry is one tensor of a header.
type entry struct {
	name       string
	element    element
	shape      []uint64
	begin, end uint64
}

// DecodeSafetensors reads size bytes in safetensors format. Memory is taken for no more than what size allows.
func DecodeSafetensors(r io.ReaderAt, size int64) (*File, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, metadata, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	start := int64(8 + len(header))
	if err := checkLayout(entries, uint64(size-start)); err != nil {
		return nil, err
	}
	f := &File{Tensors: make(map[string]*tensor.Dense, len(entries)), Metadata: metadata}
	data := bufio.NewReaderSize(io.NewSectionReader(r, start, size-start), 1<<16)
	for _, e := range entries { // in the order of their data
		t, err := readTensor(data, binary.LittleEndian, e.element, e.shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", e.name, err)
		}
		f.Tensors[e.name] = t
	}
	return f, nil
}

// readHeader returns the JSON text of the header.
func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 8 {
		return nil, fmt.Errorf("%w: %d bytes, too few for a safetensors header", ErrFormat, size)
	}
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("read the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("%w: the header claims %d bytes, at most %d are allowed", ErrFormat, n, maxHeader)
	}
	if n > uint64(size-8) {
		return nil, fmt.Errorf("%w: the header claims %d bytes, the file has %d after its length", ErrFormat, n, size-8)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(n)), header); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if !bytes.HasPrefix(header, []byte("{")) {
		return nil, fmt.Errorf("%w: the header does not begin with '{'", ErrFormat)
	}
	if !utf8.Valid(header) {
		return nil, fmt.Errorf("%w: the header is not UTF-8", ErrFormat)
	}
	return header, nil
}

// parseHeader returns the entries in the header's order.
func parseHeader(header []byte) (entries []entry, metadata map[string]string, err error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.UseNumber()
	err = object(dec, func(key string) error {
		if key == metadataKey {
			metadata = map[string]string{}
			return object(dec, func(key string) error {
				metadata[key], err = text(dec)
				return err
			})
		}
		if len(entries) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		e, err := parseEntry(dec)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", key, err)
		}
		e.name = key
		entries = append(entries, e)
		return nil
	})
	if err == nil {
		_, more := dec.Token()
		if more != io.EOF {
			err = fmt.Errorf("there is more after the closing brace")
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	return entries, metadata, nil
}

// parseEntry reads one tensor's description.
func parseEntry(dec *json.Decoder) (e entry, err error) {
	var offsets []uint64
	seen := 0
	err = object(dec, func(key string) (err error) {
		seen++
		switch key {
		case "dtype":
			name, err := text(dec)
			if err != nil {
				return err
			}
			e.element, err = elementNamed(name, func(e element) string { return e.safetensors })
			return err
		case "shape":
			e.shape, err = integers(dec)
		case "data_offsets":
			offsets, err = integers(dec)
		default:
			err = fmt.Errorf("unknown field %q", key)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if seen != 3 { // keys are unique, so three are all three
		return e, fmt.Errorf("needs dtype, shape and data_offsets")
	}
	if len(offsets) != 2 {
		return e, fmt.Errorf("data_offsets has %d numbers, want 2", len(offsets))
	}
	e.begin, e.end = offsets[0], offsets[1]
	return e, nil
}

// checkLayout sorts the entries by the place of their data and checks that they fill size bytes exactly.
func checkLayout(entries []entry, size uint64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var at uint64
	for _, e := range entries {
		_, want, err := count(e.shape, e.element)
		if err != nil {
			return fmt.Errorf("%w: tensor %s: %w", ErrFormat, e.name, err)
		}
		if e.begin != at || e.end < e.begin || e.end > size {
			return fmt.Errorf("%w: tensor %s: its data lies at %d to %d, want it to begin at %d and end by %d (is the file cut off?)",
				ErrFormat, e.name, e.begin, e.end, at, size)
		}
		if e.end-e.begin != want {
			return fmt.Errorf("%w: tensor %s: %s of %s needs %d bytes, the header gives it %d",
				ErrFormat, e.name, shapeString(e.shape), e.element.safetensors, want, e.end-e.begin)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%w: the tensors have %d bytes of data, the file %d", ErrFormat, at, size)
	}
	return nil
}

// object reads a JSON object; member reads the value of each key. Unlike json.Unmarshal it refuses a key that comes
// twice, of which two readers could see different ones.
func object(dec *json.Decoder, member func(key string) error) error {
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := text(dec)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%q comes twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	return delimiter(dec, '}')
}

// integers reads an array of non-negative integers.
func integers(dec *json.Decoder) ([]uint64, error) {
	if err := delimiter(dec, '['); err != nil {
		return nil, err
	}
	list := []uint64{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v instead of a number", token)
		}
		n, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s instead of a whole number", number)
		}
		list = append(list, n)
	}
	return list, delimiter(dec, ']')
}

func text(dec *json.Decoder) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%v instead of a string", token)
	}
	return s, nil
}

func delimiter(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%v instead of %q", token, want.String())
	}
	return nil
}

// WriteSafetensors writes f to the file path, which is whole or absent at any moment. Equal content gives equal bytes.
func WriteSafetensors(path string, f *File) error {
	return atomicfile.Write(path, 0o666, func(w io.Writer) error { return EncodeSafetensors(w, f) })
}

// EncodeSafetensors writes f in safetensors format. Equal content gives equal bytes: wider elements come first, which
// keeps all data aligned, then the order is by name.
func EncodeSafetensors(w io.Writer, f *File) error {
	if len(f.Tensors) > maxTensors {
		return fmt.Errorf("%d tensors are too many, at most %d can be written", len(f.Tensors), maxTensors)
	}
	names := slices.Sorted(maps.Keys(f.Tensors))
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(f.Tensors[b].Dtype().Size(), f.Tensors[a].Dtype().Size())
	})
	header, data, err := buildHeader(f, names)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(header))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for i, values := range data {
		if err := writeElements(w, values); err != nil {
			return fmt.Errorf("tensor %s: %w", names[i], err)
		}
	}
	return nil
}

// buildHeader returns the padded header and each tensor's elements, in the order of names.
func buildHeader(f *File, names []string) (header []byte, data []any, err error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(f.Metadata) > 0 {
		writeJSON(&b, metadataKey)
		b.WriteByte(':')
		for key, value := range f.Metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, nil, fmt.Errorf("metadata %q: %q is not UTF-8", key, value)
			}
		}
		writeJSON(&b, f.Metadata) // encoding/json sorts the keys
	}
	var at uint64
	for _, name := range names {
		values, e, err := rowMajor(f.Tensors[name])
		if err == nil && (name == metadataKey || !utf8.ValidString(name)) {
			err = fmt.Errorf("the format takes UTF-8 names other than %s", metadataKey)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		shape := append([]int{}, f.Tensors[name].Shape()...) // not nil: a scalar is [], never null
		end := at + uint64(f.Tensors[name].Shape().TotalSize())*e.size()
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		writeJSON(&b, name)
		b.WriteByte(':')
		writeJSON(&b, struct {
			Dtype   string    `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}{e.safetensors, shape, [2]uint64{at, end}})
		data = append(data, values)
		at = end
	}
	b.WriteByte('}')
	for b.Len()%headerAlign != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, nil, fmt.Errorf("the header has %d bytes, at most %d are allowed", b.Len(), maxHeader)
	}
	return b.Bytes(), data, nil
}

// writeJSON appends v as the reference implementation writes it: without escapes for HTML. v cannot fail to encode.
func writeJSON(b *bytes.Buffer, v any) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // v is a string, a map of strings or a plain struct
	}
	b.Truncate(b.Len() - 1) // Encode ends with a newline
}
