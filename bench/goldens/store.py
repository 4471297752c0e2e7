"""Writes goldens: arrays to NAME.npz, what they are to NAME.json."""

import json
import pathlib

import numpy as np


class Store:
    """Collects the cases of one pair of files."""

    def __init__(self, note):
        self.note = note
        self.cases = []
        self.arrays = {}

    def put(self, key, array):
        """Keeps an array and returns its key in the npz."""
        array = np.asarray(array)
        assert key not in self.arrays, key
        assert array.dtype in (np.float32, np.float64, np.int32), (key, array.dtype)
        assert np.isfinite(array).all(), key
        self.arrays[key] = array
        return key

    def write(self, stem: pathlib.Path):
        names = [c["name"] for c in self.cases]
        assert len(set(names)) == len(names), "two cases of one name"
        np.savez_compressed(stem.with_suffix(".npz"), **self.arrays)
        write_json(stem.with_suffix(".json"), {"note": self.note, "cases": self.cases})
        print(f"{stem.name}: {len(self.cases)} cases, {len(self.arrays)} arrays, "
              f"{stem.with_suffix('.npz').stat().st_size} bytes")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def near(got, want, what, bound=1e-11):
    """Asserts that two float64 computations agree, relative to the size of the values."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    worst = np.max(np.abs(got - want) / np.maximum(1, np.abs(want)), initial=0)
    assert worst <= bound, f"{what}: two computations differ by {worst}"
