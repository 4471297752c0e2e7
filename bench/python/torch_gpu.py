#!/usr/bin/env python3
"""Seconds an epoch on one GPU: gcnn beside PyTorch eager, with torch.compile and with CUDA graphs, in turns in the same minutes.
It needs PyTorch and the gcnn binary alone; images are noise of Fashion-MNIST's shape, since speed is asked and not accuracy.

torch_gpu.py --gcnn BINARY [--models cnn,lenet5] [--epochs 10] [--rounds 3] [--tf32] [--modes eager,compile,graphs]

An epoch is 60,000 training images and an evaluation of 10,000. gcnn's is the difference between a command of 1 and of N + 1 epochs,
by N: its start is left out, as PyTorch's is. PyTorch has the set on the GPU and gathers it once an epoch; a step is timed by CUDA
events around all steps of an epoch. Prints a table in Markdown and writes all figures to torch_gpu.json in the working folder.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

from torch_nets import make, make_optimizer

parser = argparse.ArgumentParser()
parser.add_argument("--gcnn")
parser.add_argument("--models", default="cnn,lenet5")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--images", type=int, default=60000)
parser.add_argument("--modes", default="eager,compile,graphs")
parser.add_argument("--device", default="cuda")
parser.add_argument("--tf32", action="store_true")
args = parser.parse_args()

cuda = args.device.startswith("cuda")
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.tf32
torch.backends.cudnn.benchmark = True


class Trainer:
    """A network with its set on the GPU, trained in one of the three ways."""

    def __init__(self, model, mode):
        torch.manual_seed(0)
        self.net, self.batch, name = make(model)
        self.net = self.net.to(args.device)
        options = {"fused": True, "capturable": True} if cuda and name in ("adam", "adamw") else {"fused": cuda}
        self.optimizer = make_optimizer(name, self.net, **options)
        self.x = torch.rand(args.images, 1, 28, 28, device=args.device)
        self.y = torch.randint(0, 10, (args.images,), device=args.device)
        self.loss = torch.compile(self.forward) if mode == "compile" else self.forward
        self.logits = torch.compile(self.net) if mode == "compile" else self.net
        self.graph = None
        if mode == "graphs":
            self.capture()

    def forward(self, x, y):
        return F.cross_entropy(self.net(x), y)

    def step(self, x, y):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        """Captures a whole step; a partial batch goes without it."""
        self.sx, self.sy = self.x[:self.batch].clone(), self.y[:self.batch].clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.sx, self.sy)
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.sloss = self.step(self.sx, self.sy)

    def epoch(self):
        """Seconds of an epoch with its evaluation, and milliseconds of a step by CUDA events."""
        self.net.train()
        start = time.perf_counter()
        order = torch.randperm(len(self.x), device=args.device)
        xs, ys, total = self.x[order], self.y[order], torch.zeros((), device=args.device)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if cuda else []
        if cuda:
            events[0].record()
        steps = time.perf_counter()
        for i in range(0, len(xs), self.batch):
            x, y = xs[i:i + self.batch], ys[i:i + self.batch]
            if self.graph and len(x) == self.batch:
                self.sx.copy_(x)
                self.sy.copy_(y)
                self.graph.replay()
                total += self.sloss
            else:
                total += self.step(x, y)
        if cuda:
            events[1].record()
        total.item()
        steps = time.perf_counter() - steps
        self.net.eval()
        right = torch.zeros((), device=args.device, dtype=torch.long)
        with torch.inference_mode():
            for i in range(0, min(10000, len(self.x)), self.batch):
                right += (self.logits(self.x[i:i + self.batch]).argmax(1) == self.y[i:i + self.batch]).sum()
        right.item()
        count = -(-len(xs) // self.batch)
        return time.perf_counter() - start, (events[0].elapsed_time(events[1]) if cuda else steps * 1000) / count


def gcnn(model):
    """Seconds of an epoch of the gcnn binary, validation included."""
    def command(epochs):
        folder = tempfile.mkdtemp()
        start = time.perf_counter()
        options = ["--precision", "tf32"] if args.tf32 else []
        if args.images < 60000:
            options += ["--limit", str(args.images)]
        subprocess.run([args.gcnn, "train", "--model", model, "--device", args.device, "--epochs", str(epochs), "--quiet", *options, "--out",
                        os.path.join(folder, "run")], check=True)
        seconds = time.perf_counter() - start
        shutil.rmtree(folder)
        return seconds
    one = command(1)
    return (command(1 + args.epochs) - one) / args.epochs


def main():
    name = torch.cuda.get_device_name(0) if cuda else "the CPU"
    print(f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}, TF32 {'on' if args.tf32 else 'off'}; medians of "
          f"{args.rounds} rounds\n")
    print("| network | who | s an epoch | ms a step | beside gcnn |")
    print("| --- | --- | --- | --- | --- |")
    figures = []
    for model in args.models.split(","):
        trainers = {}
        for mode in args.modes.split(","):
            try:
                t = Trainer(model, mode)
                t.epoch()  # warm-up
                trainers[mode] = t
            except Exception as e:  # torch.compile wants a C compiler and Triton; the other figures do not depend on it
                print(f"PyTorch, {mode}, cannot be measured here: {e}\n", file=sys.stderr)
        seconds = {who: [] for who in [*(["gcnn"] if args.gcnn else []), *trainers]}
        steps = {mode: [] for mode in trainers}
        for _ in range(args.rounds):
            if args.gcnn:
                seconds["gcnn"].append(gcnn(model))
            for mode, t in trainers.items():
                for _ in range(args.epochs):
                    s, ms = t.epoch()
                    seconds[mode].append(s)
                    steps[mode].append(ms)
        ours = statistics.median(seconds["gcnn"]) if args.gcnn else None
        for who, values in seconds.items():
            s = statistics.median(values)
            ms = f"{statistics.median(steps[who]):.4f}" if who in steps else "see profile"
            print(f"| {model} | {who if who == 'gcnn' else 'PyTorch, ' + who} | {s:.4f} | {ms} | {f'{s / ours:.2f}×' if ours else ''} |")
        figures.append({"model": model, "seconds": seconds, "milliseconds_a_step": steps})
    with open("torch_gpu.json", "w") as f:
        json.dump({"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "tf32": args.tf32, "figures": figures}, f, indent=1)


if __name__ == "__main__":
    main()
