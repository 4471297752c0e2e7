#!/usr/bin/env python3
"""stats.py [--check] DIR: prints the simulator's counters, summed over the processes that ran with GCNN_SIM_STATS=DIR.

With --check it prints what leaked instead, and exits 1 if anything did.
"""
import pathlib
import struct
import sys


def read(path):
    data = path.read_bytes()
    for at in range(0, len(data), 64):
        name = data[at:at + 56].split(b"\0")[0].decode()
        if not name:
            return
        yield name, struct.unpack_from("<Q", data, at + 56)[0]


def main():
    check = "--check" in sys.argv
    leaks, total = 0, {}
    for path in sorted(pathlib.Path(sys.argv[-1]).glob("*.stats")):
        for name, value in read(path):
            total[name] = total.get(name, 0) + value
            # a process that never reached a device holds nothing; "bytes" repeats "allocations"
            if check and value and name.startswith(("live.", "leaked.")) and name not in ("live.device bytes", "leaked.kinds at exit"):
                print(f"simulator: process {path.stem} left {value} of {name.split('.', 1)[1]}", file=sys.stderr)
                leaks += 1
    if not check:
        for name, value in sorted(total.items()):
            print(f"{value:12d} {name}")
    sys.exit(leaks > 0)


main()
