package onnx

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of messages' fields and enumerations are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, which
// is stable: numbers are never reused.
const (
	modelIRVersion       = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelDoc             = 6
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14

	opsetDomain, opsetVersion = 1, 2
	entryKey, entryValue      = 1, 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphSparse      = 15

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName   = 1
	attributeFloat  = 2
	attributeInt    = 3
	attributeString = 4
	attributeTensor = 5
	attributeGraph  = 6
	attributeFloats = 7
	attributeInts   = 8
	attributeType   = 20

	tensorDims     = 1
	tensorType     = 2
	tensorSegment  = 3
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorExternal = 13
	tensorLocation = 14

	valueName, valueType    = 1, 2
	typeTensor              = 1
	tensorElem, tensorShape = 1, 2
	shapeDim                = 1
	dimValue                = 1
	dimParam                = 2
)

// Values of AttributeProto.type.
const (
	isFloat  = 1
	isInt    = 2
	isString = 3
	isTensor = 4
	isGraph  = 5
	isFloats = 6
	isInts   = 7
)

// Values of TensorProto.data_type.
const (
	typeFloat  = 1
	typeUint8  = 2
	typeInt32  = 6
	typeInt64  = 7
	typeBool   = 9
	typeDouble = 11
)

// message is a protobuf message being written.
type message []byte

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, b)
}

func (m *message) string(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

func (m *message) int(field protowire.Number, n int64) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(n))
}

func (m *message) float(field protowire.Number, f float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(f))
}

// field is one field of a message being read.
type field struct {
	number int32
	kind   protowire.Type
	n      uint64 // of a varint or a fixed number
	b      []byte // of a length-delimited field
}

// fields visits the fields of a message in order.
func fields(b []byte, visit func(f field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return formatError("a damaged tag: %w", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: int32(number), kind: kind}
		switch kind {
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.n = uint64(v)
		case protowire.Fixed64Type:
			f.n, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		case protowire.StartGroupType, protowire.EndGroupType:
			return formatError("field %d is a group, which ONNX does not have", number)
		default:
			return formatError("field %d has the unknown type %d", number, kind)
		}
		if n < 0 {
			return formatError("field %d: %w", number, protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// message returns the bytes of a field that holds a message, a string or raw data.
func (f field) message() ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, formatError("field %d is no message or string", f.number)
	}
	return f.b, nil
}

func (f field) string() (string, error) {
	b, err := f.message()
	if err == nil && !utf8.Valid(b) {
		err = formatError("field %d is not UTF-8", f.number)
	}
	return string(b), err
}

func (f field) int() (int64, error) {
	if f.kind != protowire.VarintType {
		return 0, formatError("field %d is no integer", f.number)
	}
	return int64(f.n), nil
}

func (f field) float() (float32, error) {
	if f.kind != protowire.Fixed32Type {
		return 0, formatError("field %d is no float", f.number)
	}
	return math.Float32frombits(uint32(f.n)), nil
}

// ints appends the numbers of a repeated field, packed or not.
func (f field) ints(to *[]int64) error {
	if f.kind != protowire.BytesType {
		n, err := f.int()
		*to = append(*to, n)
		return err
	}
	for b := f.b; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return formatError("field %d: %w", f.number, protowire.ParseError(n))
		}
		*to = append(*to, int64(v))
		b = b[n:]
	}
	return nil
}

// floats appends the numbers of a repeated field, packed or not.
func (f field) floats(to *[]float32) error {
	if f.kind != protowire.BytesType {
		v, err := f.float()
		*to = append(*to, v)
		return err
	}
	if len(f.b)%4 != 0 {
		return formatError("field %d holds no whole number of floats", f.number)
	}
	for b := f.b; len(b) > 0; b = b[4:] {
		v, _ := protowire.ConsumeFixed32(b)
		*to = append(*to, math.Float32frombits(v))
	}
	return nil
}

// doubles appends the numbers of a repeated field, packed or not.
func (f field) doubles(to *[]float64) error {
	if f.kind == protowire.Fixed64Type {
		*to = append(*to, math.Float64frombits(f.n))
		return nil
	}
	if f.kind != protowire.BytesType || len(f.b)%8 != 0 {
		return formatError("field %d holds no whole number of doubles", f.number)
	}
	for b := f.b; len(b) > 0; b = b[8:] {
		v, _ := protowire.ConsumeFixed64(b)
		*to = append(*to, math.Float64frombits(v))
	}
	return nil
}
