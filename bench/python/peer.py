"""What every peer shares: a loop that answers requests, and the sets that they train on.

A peer is a process that a Go program under bench/ starts. It reads one JSON request a line on standard input, such as
{"do": "train", "steps": 100}, and answers each with one JSON line on standard output. What the libraries print goes to standard
error. So the peers of a comparison stay alive side by side and take turns, and no start is counted where it is not meant to be.
"""
import gzip
import json
import os
import resource
import sys
import time
import traceback

import numpy as np

STARTED = time.perf_counter()


def serve(**handlers):
    """Answers requests until standard input ends. A handler takes the request's other fields and returns a dict."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = handlers[request.pop("do")](**request)
        except Exception as e:  # the driver decides what to do about it; the trace is on standard error
            traceback.print_exc()
            answer = {"error": f"{type(e).__name__}: {e}".splitlines()[0]}
        answer["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
        print(json.dumps(answer), file=answers)


def read_idx(path):
    """The array of an IDX file of bytes, gzip or plain."""
    if not os.path.exists(path):
        path += ".gz"
    with (gzip.open if path.endswith(".gz") else open)(path) as f:
        header = f.read(4)
        shape = np.frombuffer(f.read(4 * header[3]), ">i4")
        return np.frombuffer(f.read(), np.uint8).reshape(shape)


def load_idx(folder, part="train"):
    """Images [N, 28, 28, 1] and labels [N] of a folder with MNIST's file names; part is train or t10k."""
    images = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte"))
    return images[..., None], read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte"))


def load(data="", images=0, size=32):
    """The training set of a folder, or so many images of noise of size×size×3; an empty set where neither is asked for."""
    if data:
        return load_idx(data)
    draw = np.random.default_rng(0)
    shape = (images, size, size, 3) if images else (0, 28, 28, 1)
    return draw.integers(0, 256, shape, np.uint8), draw.integers(0, 10, images, np.uint8)
