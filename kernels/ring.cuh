// Where a sample lies of a set that passes through a ring.
#pragma once
#include "common.cuh"

// The sample of a place of the pass: what the order says; without one, places follow each other around a ring of so many samples.
DEVICE u64 sample_at(const int *order, u64 place, u32 ring) { return order ? (u64)order[place] : (u32)place % ring; }
