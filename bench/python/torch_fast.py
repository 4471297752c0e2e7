#!/usr/bin/env python3
"""The network `fast` and its recipe in PyTorch on the CPU: the time to 93 % on Fashion-MNIST. The last line of its output is JSON.

AdamW (0.9, 0.98) with decay 0.01, a warm-up over the first quarter and then linearly to 0, label smoothing 0.1, each image mirrored
every other epoch. With --hold-out the last 10,000 training images take the place of the test set: recipes are chosen on those.

torch_fast.py --data DIR [--h 32] [--c 64] [--epochs 5] [--batch 256] [--rate 0.012] [--seed 1] [--threads N] [--hold-out]
 [--compile] [--flip-average] [--limit N]
"""
import argparse
import json
import resource
import sys
import time

start = time.perf_counter()
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
for name, value in ("h", 32), ("c", 64), ("epochs", 5), ("batch", 256), ("seed", 1), ("threads", 0), ("limit", 60000):
    parser.add_argument("--" + name, type=int, default=value)
parser.add_argument("--rate", type=float, default=0.012)
for name in "hold-out", "compile", "flip-average":
    parser.add_argument("--" + name, action="store_true")
args = parser.parse_args()

import numpy as np
import torch
import torch.nn.functional as F

import peer
from torch_nets import Fast, glorot

if args.threads:
    torch.set_num_threads(args.threads)
torch.set_flush_denormal(True)
torch.manual_seed(args.seed)


def tensors(part):
    images, labels = peer.load_idx(args.data, part)
    return torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2), torch.from_numpy(labels.astype(np.int64))


x, y = tensors("train")
if args.hold_out:
    x, y, vx, vy = x[:-10000], y[:-10000], x[-10000:], y[-10000:]
else:
    vx, vy = tensors("t10k")
mean, std = x.mean(), x.std()
x, vx = (x - mean) / std, (vx - mean) / std
x, y = x[:args.limit], y[:args.limit]

net = glorot(Fast(args.h, args.c, args.flip_average))
net.init_whitening(x[:5000])
net = net.to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
steps = args.epochs * -(-len(x) // args.batch)
warm_up = max(1, steps // 4)
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: (s + 1) / warm_up if s < warm_up else (steps - s) / max(1, steps - warm_up))


def train_loss(x, y):
    return F.cross_entropy(net(x), y, label_smoothing=0.1)


loss_of = torch.compile(train_loss) if args.compile else train_loss
flipped = torch.rand(len(x)) < 0.5
for epoch in range(args.epochs):
    net.train()
    order = torch.randperm(len(x))
    turned = (flipped ^ bool(epoch % 2))[order, None, None, None]
    xs = torch.where(turned, x[order].flip(3), x[order]).contiguous(memory_format=torch.channels_last)
    ys, total = y[order], torch.zeros(())
    for i in range(0, len(x), args.batch):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(xs[i:i + args.batch], ys[i:i + args.batch])
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach()
    print(f"epoch {epoch + 1}: loss {total.item() / -(-len(x) // args.batch):.4f}, {time.perf_counter() - start:.1f} s", flush=True)
net.eval()
with torch.inference_mode():
    accuracy = (torch.cat([net(vx[i:i + 1000]) for i in range(0, len(vx), 1000)]).argmax(1) == vy).float().mean().item()
print(json.dumps({
    "accuracy": accuracy, "seconds": time.perf_counter() - start, "seed": args.seed,
    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)}))
