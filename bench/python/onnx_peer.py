#!/usr/bin/env python3
"""onnxruntime on the CPU as a peer (see peer.py). Requests:

{"do": "setup", "file": PATH, "threads": 2, "data": DIR or "images": N, "size": 32}: opens a network whose input is
 [batch, channels, height, width] float32, as torch_peer.py writes it.
{"do": "predict", "images": N, "batch": B, "times": T} and {"do": "predict_files", "folder": DIR}: as of torch_peer.py.
"""
import os
import time

import numpy as np
import onnxruntime

import peer


class ONNX:
    def setup(self, file, threads, data="", images=0, size=32):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        x = peer.load(data, images, size)[0]
        self.x = np.ascontiguousarray(np.transpose(x, (0, 3, 1, 2)).astype(np.float32) / 255)
        return {"version": onnxruntime.__version__, "images": len(self.x)}

    def run(self, x):
        return self.session.run(None, {self.input: x})[0].argmax(1)

    def predict(self, images, batch, times=1):
        x = self.x[:images]
        start = time.perf_counter()
        for _ in range(times):
            classes = np.concatenate([self.run(x[i:i + batch]) for i in range(0, len(x), batch)])
        return {"seconds": (time.perf_counter() - start) / times, "images": len(x), "classes": classes[:5].tolist()}

    def predict_files(self, folder):
        from PIL import Image
        start, classes, files = time.perf_counter(), [], sorted(os.listdir(folder))
        for i in range(0, len(files), 256):
            images = [np.asarray(Image.open(os.path.join(folder, f)).convert("L").resize((28, 28))) for f in files[i:i + 256]]
            classes += self.run(np.stack(images)[:, None].astype(np.float32) / 255).tolist()
        return {"seconds": time.perf_counter() - start, "images": len(classes), "classes": classes[:5]}


if __name__ == "__main__":
    o = ONNX()
    peer.serve(setup=o.setup, predict=o.predict, predict_files=o.predict_files)
