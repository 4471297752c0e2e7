package onnx

// operator makes the value of a node: a *value, a *constant or *integers.
type operator func(*builder, *nodeProto) (any, error)

// operators are those that gcnn knows. It is filled in init, because If runs nodes itself.
var operators map[string]operator

func init() {
	operators = map[string]operator{
		"Conv":               importConv,
		"MaxPool":            importPool,
		"AveragePool":        importPool,
		"GlobalMaxPool":      importGlobalPool,
		"GlobalAveragePool":  importGlobalPool,
		"ReduceMax":          importReduce,
		"ReduceMean":         importReduce,
		"Gemm":               importGemm,
		"MatMul":             importMatMul,
		"BatchNormalization": importBatchNorm,
		"Dropout":            importDropout,
		"LRN":                importLRN,
		"Pad":                importPad,
		"Concat":             importConcat,
		"Sum":                importSum,
		"Add":                importArithmetic,
		"Sub":                importArithmetic,
		"Mul":                importArithmetic,
		"Div":                importArithmetic,

		"Relu":        importActivation,
		"Tanh":        importActivation,
		"Sigmoid":     importActivation,
		"Softmax":     importActivation,
		"LogSoftmax":  importActivation,
		"LeakyRelu":   importActivation,
		"Elu":         importActivation,
		"Gelu":        importActivation,
		"Swish":       importActivation,
		"Softplus":    importActivation,
		"HardSigmoid": importActivation,
		"HardSwish":   importActivation,
		"Clip":        importClip,
		"Min":         importMin,
		"Erf":         importErf,
		"Pow":         importPow,
		"Greater":     importGreater,
		"Where":       importWhere,

		"Flatten":   importFlatten,
		"Reshape":   importReshape,
		"Squeeze":   importSqueeze,
		"Unsqueeze": importUnsqueeze,
		"Transpose": importTranspose,
		"Identity":  importIdentity,
		"Cast":      importCast,

		"Constant":        importConstant,
		"ConstantOfShape": importConstantOfShape,
		"Shape":           importShape,
		"Gather":          importGather,
		"Slice":           importSlice,
		"Equal":           importEqual,
		"If":              importIf,
	}
}
