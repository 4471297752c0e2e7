#!/usr/bin/env python3
"""check_keras.py DIR: every NAME.json with NAME.npz that ./bench/exchange wrote loads in Keras and computes what gcnn computes; what
Keras writes of it again loads too. Not for CI: it needs Keras on JAX or TensorFlow. (On PyTorch, Keras pads 'same' average pools with
repeated edges, so that networks with those come out differently there.)"""
import pathlib
import sys

import keras
import numpy as np

TOLERANCE = 1e-5


def check(path):
    expected = np.load(path.with_name(f"{path.stem}-expected.npz"))
    net = keras.models.model_from_json(path.read_text())
    weights = np.load(path.with_suffix(".npz"))
    assert {v.path for v in net.weights} == set(weights.files), {v.path for v in net.weights} ^ set(weights.files)
    for variable in net.weights:
        variable.assign(weights[variable.path])
    got, want = net.predict(expected["images"], verbose=0), expected["output"]
    difference = abs(got - want).max()
    assert got.shape == want.shape and difference <= TOLERANCE, f"the largest difference is {difference:.3g}"
    again = keras.models.model_from_json(net.to_json())
    assert [v.path for v in again.weights] == [v.path for v in net.weights]
    print(f"{path.stem:<12} {net.count_params():>10} parameters, largest difference {difference:.2g}")


if __name__ == "__main__":
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
    for file in files:
        check(file)
    sys.exit(0 if len(files) >= 9 else f"{len(files)} files in {sys.argv[1]}, want the five presets and four others at least")
