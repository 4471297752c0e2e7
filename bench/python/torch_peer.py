#!/usr/bin/env python3
"""PyTorch on the CPU as a peer (see peer.py). Requests:

{"do": "setup", "model": "cnn", "data": DIR or "images": N, "size": 32, "threads": 2, "channels_last": true, "compile": false,
 "fused": true}: makes the network, its optimiser and the set. The gradient of denormals is flushed and the samples of an epoch are
 gathered at its start: both were faster on every processor tried. "limit": N takes the first N images of the set alone,
 and "batch": B has steps of B samples instead of the network's own.
{"do": "train", "steps": K}: K steps (without: to the end of the epoch); shuffling and gathering are counted.
{"do": "predict", "images": N, "batch": B, "times": T}: probabilities of N images, held in memory, in batches of B; T times, and the
 seconds are those of once.
{"do": "predict_files", "folder": DIR}: reads the folder's pictures and predicts their classes.
{"do": "onnx", "file": PATH}: writes the network with softmax.
"""
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import peer
from torch_nets import make, make_optimizer


class Torch:
    def setup(self, model, threads, batch=None, data="", images=0, size=32, limit=None, channels_last=False, compile=False, fused=False):
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(0)
        self.net, own, name = make(model)
        self.batch = batch or own
        self.size, self.channels = (size, 3) if images else (28, 1)
        x, y = peer.load(data, images, size)
        x, y = x[:limit], y[:limit]
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = self.net.to(memory_format=self.format)
        self.x = torch.from_numpy(x.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous(memory_format=self.format)
        self.y = torch.from_numpy(y.astype(np.int64))
        if model == "fast":
            self.net.init_whitening(self.x[:5000])
        self.optimizer = make_optimizer(name, self.net, **({"fused": True} if fused else {}))
        self.loss = self.train_loss
        self.infer = lambda x: F.softmax(self.net(x), 1)
        if compile:
            torch._dynamo.reset()
            self.loss, self.infer = torch.compile(self.loss), torch.compile(self.infer)
        self.at = len(self.x)
        return {"version": torch.__version__, "isa": torch.backends.cpu.get_cpu_capability(), "batch": self.batch,
                "steps": -(-len(self.x) // self.batch), "images": len(self.x)}

    def train_loss(self, x, y):
        return F.cross_entropy(self.net(x), y)

    def train(self, steps=0):
        self.net.train()
        start, done, samples, total = time.perf_counter(), 0, 0, torch.zeros(())
        while True:
            if self.at >= len(self.x):
                order = torch.randperm(len(self.x))
                self.xs, self.ys, self.at = self.x[order], self.y[order], 0
            x, y = self.xs[self.at:self.at + self.batch], self.ys[self.at:self.at + self.batch]
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(x, y)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(y)
            self.at, done, samples = self.at + self.batch, done + 1, samples + len(y)
            if done == steps or (steps == 0 and self.at >= len(self.x)):
                break
        mean = total.item() / samples
        seconds = time.perf_counter() - start
        if not math.isfinite(mean):  # seen with torch.compile held to AVX2
            raise FloatingPointError(f"the loss is {mean}")
        return {"seconds": seconds, "steps": done, "samples": samples, "loss": mean}

    @torch.inference_mode()
    def predict(self, images, batch, times=1):
        self.net.eval()
        x = self.x[:images]
        start = time.perf_counter()
        for _ in range(times):
            classes = torch.cat([self.infer(x[i:i + batch]) for i in range(0, len(x), batch)]).argmax(1)
        return {"seconds": (time.perf_counter() - start) / times, "images": len(x), "classes": classes[:5].tolist()}

    @torch.inference_mode()
    def predict_files(self, folder):
        from PIL import Image
        self.net.eval()
        start, classes, files = time.perf_counter(), [], sorted(os.listdir(folder))
        for i in range(0, len(files), 256):
            images = [np.asarray(Image.open(os.path.join(folder, f)).convert("L").resize((28, 28))) for f in files[i:i + 256]]
            classes += self.infer(torch.from_numpy(np.stack(images)[:, None].astype(np.float32) / 255)).argmax(1).tolist()
        return {"seconds": time.perf_counter() - start, "images": len(classes), "classes": classes[:5]}

    def onnx(self, file):
        self.net.eval()
        x = torch.zeros(2, self.channels, self.size, self.size)
        net = torch.nn.Sequential(self.net, torch.nn.Softmax(1)).to(memory_format=torch.contiguous_format)
        torch.onnx.export(net, (x,), file, input_names=["image"], output_names=["probability"], dynamo=True,
                          dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False)
        return {"bytes": os.path.getsize(file)}


if __name__ == "__main__":
    t = Torch()
    peer.serve(setup=t.setup, train=t.train, predict=t.predict, predict_files=t.predict_files, onnx=t.onnx)
