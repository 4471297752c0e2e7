#!/usr/bin/env python3
"""The lesson's whole script in Keras, for comparison with `gcnn train`: loads the set, trains ten epochs with validation after each,
and leaves the history, the weights, the curves and both grids of pictures in a folder. The last line of its output is JSON.

keras_lesson.py --data DIR --out DIR [--model cnn|lenet5] [--epochs N] [--limit N] [--seed N]
"""
import argparse
import json
import os
import resource
import sys
import time

start = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--model", default="cnn")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--limit", type=int)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()

import keras
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import peer
from keras_nets import make

CLASSES = ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


class FirstStep(keras.callbacks.Callback):
    """Takes the time at the end of the first step."""

    seconds = 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.seconds = self.seconds or time.perf_counter() - start


def curve(history, metric, file):
    plt.figure(figsize=(8, 6))
    plt.plot(range(1, len(history[metric]) + 1), history[metric], label="training")
    plt.plot(range(1, len(history[metric]) + 1), history["val_" + metric], label="validation")
    plt.xlabel("epoch")
    plt.ylabel(metric)
    plt.legend()
    plt.savefig(file)
    plt.close()


def grid(images, titles, colors, side, file):
    plt.figure(figsize=(10, 10))
    for i in range(side * side):
        plt.subplot(side, side, i + 1)
        plt.xticks([])
        plt.yticks([])
        plt.imshow(images[i].squeeze(), cmap=plt.cm.binary)
        plt.xlabel(titles[i], color=colors[i])
    plt.savefig(file)
    plt.close()


os.makedirs(args.out, exist_ok=True)
keras.utils.set_random_seed(args.seed)
(x, y), (vx, vy) = (peer.load_idx(args.data, part) for part in ("train", "t10k"))
x, y = x[:args.limit], y[:args.limit]
x, vx = x.astype(np.float32) / 255, vx.astype(np.float32) / 255
path = lambda name: os.path.join(args.out, name)
grid(x, [CLASSES[c] for c in y[:49]], ["black"] * 49, 7, path("samples.png"))

net, batch = make(args.model)
first = FirstStep()
history = net.fit(x, y, batch_size=batch, epochs=args.epochs, validation_data=(vx, vy), verbose=2,
                  callbacks=[first, keras.callbacks.CSVLogger(path("history.csv"))]).history
curve(history, "accuracy", path("accuracy.png"))
curve(history, "loss", path("loss.png"))
net.save_weights(path("model.weights.h5"))
guess = net.predict(vx[:25], verbose=0).argmax(1)
right = guess == vy[:25]
grid(vx, [CLASSES[g] if r else f"{CLASSES[g]} ({CLASSES[t]})" for g, r, t in zip(guess, right, vy)],
     ["black" if r else "red" for r in right], 5, path("predictions.png"))

print(json.dumps({
    "seconds": time.perf_counter() - start, "first_step_seconds": first.seconds, "val_accuracy": history["val_accuracy"][-1],
    "val_loss": history["val_loss"][-1], "backend": keras.backend.backend(),
    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)}))
