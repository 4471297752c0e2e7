#!/usr/bin/env python3
"""Writes weights/onnx/testdata and weights/keras/testdata: small networks as PyTorch and Keras write them, each with images and what
the framework itself computes for them, for the tests of `gcnn import`.

Run it in an environment with what requirements-models.txt lists. Keras has one backend for each process, so that the script calls
itself: make_models.py [torch | keras BACKEND | json jax].
"""
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "weights" / "onnx" / "testdata"


def without_traces(file):
    """Takes out what PyTorch notes of its call stack: paths of the machine that exported."""
    import onnx
    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output]:
        del part.metadata_props[:]
    onnx.save(model, file)


def save(name, images, output):
    np.savez_compressed(FOLDER / f"{name}.npz", images=images, output=output)
    print(name, images.shape, output.shape)


def make_torch():
    import torch

    import torch_models
    cases = [("lesson", "script", 17), ("lesson", "dynamo", 20), ("resnet", "script", 20), ("resnet", "dynamo", 18), ("activations", "script", 17),
             ("activations", "dynamo", 18), ("activations", "script", 20), ("alexnet", "script", 17), ("alexnet", "dynamo", 18),
             ("normalized", "script", 17), ("normalized", "dynamo", 20), ("resnet", "external", 18), ("pooled", "script", 13),
             ("mobile", "script", 13), ("mobile", "script", 17), ("mobile", "dynamo", 18)]
    for name, exporter, opset in cases:
        torch.manual_seed(1)
        net, x = torch_models.make(name)
        with torch.no_grad():
            output = net(x)
        if name == "lesson":
            output = output.exp()  # what `--softmax` makes of its log-softmax
        file = f"torch-{name}-{exporter}{opset}"
        if exporter == "script":
            torch.onnx.export(net, (x,), FOLDER / f"{file}.onnx", dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        else:
            torch.onnx.export(net, (x,), FOLDER / f"{file}.onnx", dynamo=True, opset_version=opset, verbose=False,
                              dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=exporter == "external")
        without_traces(FOLDER / f"{file}.onnx")
        if name != "normalized":
            x = x.permute(0, 2, 3, 1)
        save(file, x.contiguous().numpy(), output.numpy())


def make_keras(backend):
    import keras

    import keras_models
    cases = {"tensorflow": ["lesson", "activations"], "torch": ["lesson", "residual", "activations", "mobile"]}  # tf2onnx cannot do groups
    for name in cases[backend]:
        net, x = keras_models.make(name)
        output = keras.ops.convert_to_numpy(net(x))
        file = f"keras-{name}-{backend}"
        net.export(FOLDER / f"{file}.onnx", format="onnx", verbose=False)
        save(file, x.astype(np.uint8) if name == "lesson" else x, output)


def make_json():
    """model.to_json() and weights as weights/keras reads them."""
    import keras

    import keras_models
    folder = FOLDER.parents[1] / "keras" / "testdata"
    folder.mkdir(exist_ok=True)
    for name in keras_models.MODELS:
        net, x = keras_models.make(name)
        (folder / f"{name}.json").write_text(net.to_json(indent=1) + "\n")
        np.savez(folder / f"{name}.npz", **{v.path: keras.ops.convert_to_numpy(v) for v in net.weights})
        output = keras.ops.convert_to_numpy(net(x))
        np.savez_compressed(folder / f"{name}-expected.npz", images=x.astype(np.uint8) if name in ("lesson", "pools") else x, output=output)
        print(name, x.shape, output.shape)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    FOLDER.mkdir(exist_ok=True)
    match sys.argv[1:]:
        case []:
            for arguments in (["torch"], ["keras", "tensorflow"], ["keras", "torch"], ["json", "jax"]):
                subprocess.run([sys.executable, __file__, *arguments], check=True, env={**os.environ, "KERAS_BACKEND": arguments[-1]})
        case ["torch"]:
            make_torch()
        case ["keras", backend]:
            make_keras(backend)
        case ["json", "jax"]:
            make_json()
        case other:
            sys.exit(f"make_models.py: unknown arguments {other}")
