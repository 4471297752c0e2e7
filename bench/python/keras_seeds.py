#!/usr/bin/env python3
"""The lesson in Keras from several seeds: where the ranges come from that bench/seeds compares with. Prints a JSON line for each.

keras_seeds.py --data DIR [--model cnn|lenet5] [--seeds 1,2,3] [--epochs N] [--limit N]
"""
import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np

import peer
from keras_nets import make

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--model", default="cnn")
parser.add_argument("--seeds", default="1,2,3")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--limit", type=int)
args = parser.parse_args()

(x, y), (vx, vy) = (peer.load_idx(args.data, part) for part in ("train", "t10k"))
x, y = x[:args.limit], y[:args.limit]
x, vx = x.astype(np.float32) / 255, vx.astype(np.float32) / 255
for seed in map(int, args.seeds.split(",")):
    keras.utils.set_random_seed(seed)
    net, batch = make(args.model)
    last = {k: v[-1] for k, v in net.fit(
        x, y, batch_size=batch, epochs=args.epochs, validation_data=(vx, vy), verbose=0).history.items()}
    print(json.dumps({"model": args.model, "seed": seed, "keras": keras.__version__, "backend": keras.backend.backend(), **last}), flush=True)
