#include "textflag.h"

// func flushOn() uint64
TEXT ·flushOn(SB), NOSPLIT, $0-8
	MOVD FPCR, R0
	MOVD R0, ret+0(FP)
	ORR  $(1<<24), R0, R0 // FZ
	MOVD R0, FPCR
	RET

// func flushRestore(state uint64)
TEXT ·flushRestore(SB), NOSPLIT, $0-8
	MOVD state+0(FP), R0
	MOVD R0, FPCR
	RET
