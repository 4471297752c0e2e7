#include "textflag.h"

// func flushOn() uint64
TEXT ·flushOn(SB), NOSPLIT, $8-8
	STMXCSR 0(SP)
	MOVL 0(SP), AX
	MOVQ AX, ret+0(FP)
	ORL  $0x8040, AX // FTZ and DAZ
	MOVL AX, 0(SP)
	LDMXCSR 0(SP)
	RET

// func flushRestore(state uint64)
TEXT ·flushRestore(SB), NOSPLIT, $8-8
	MOVQ state+0(FP), AX
	MOVL AX, 0(SP)
	LDMXCSR 0(SP)
	RET
