#!/usr/bin/env python3
"""check_onnx.py DIR: every NAME.onnx that ./bench/exchange wrote is valid and computes in onnxruntime what gcnn computes."""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    expected = np.load(path.with_name(f"{path.stem}-expected.npz"))
    images, want = expected["images"], expected["output"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (i,), (o,) = session.get_inputs(), session.get_outputs()
    assert (i.name, i.type, i.shape) == ("images", "tensor(uint8)", ["batch", *images.shape[1:]]), (i.name, i.type, i.shape)
    assert o.shape == ["batch", *want.shape[1:]], o.shape
    got = session.run([o.name], {i.name: images})[0]
    one = session.run([o.name], {i.name: images[:1]})[0]
    difference = max(abs(got - want).max(), abs(one - want[:1]).max())
    assert got.shape == want.shape and difference <= TOLERANCE, f"the largest difference is {difference:.3g}"
    if o.name == "probabilities":
        metadata = session.get_modelmeta().custom_metadata_map
        assert len(json.loads(metadata["classes"])) == want.shape[1]
        assert abs(got.sum(1) - 1).max() < 1e-5 and got.max() < 0.999, "the example says little: one class has it all"
    print(f"{path.stem:<12} {o.name:<14} largest difference {difference:.2g}")


if __name__ == "__main__":
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    for file in files:
        check(file)
    sys.exit(0 if len(files) >= 9 else f"{len(files)} files in {sys.argv[1]}, want the five presets and four others at least")
