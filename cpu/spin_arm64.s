#include "textflag.h"

// func pause(n int)
TEXT ·pause(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0

loop:
	YIELD
	SUBS $1, R0, R0
	BNE  loop
	RET

// func prefetch(p *uint8, lines int)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD lines+8(FP), R1

line:
	PRFM (R0), PLDL2KEEP
	ADD  $64, R0, R0
	SUBS $1, R1, R1
	BNE  line
	RET
