#!/usr/bin/env python3
"""Keras on the CPU as a peer (see peer.py); KERAS_BACKEND is tensorflow or jax. Requests:

{"do": "setup", "model": "cnn", "data": DIR or "images": N, "threads": 2, "jit": true, "steps_per_execution": 32}
{"do": "train", "steps": K}: fit over the first K batches (without: an epoch) of the set, shuffled, without a progress bar.
{"do": "predict", "images": N, "batch": B}
"""
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
import keras
import numpy as np

import peer
from keras_nets import make


class Keras:
    def setup(self, model, threads, batch=None, data="", images=0, limit=None, jit=True, steps_per_execution=1):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf
            if tf.config.threading.get_intra_op_parallelism_threads() != threads:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        keras.utils.set_random_seed(1)
        self.net, own = make(model, jit_compile=jit, steps_per_execution=steps_per_execution)
        self.batch = batch or own
        x, y = peer.load(data, images, 32)
        x, y = x[:limit], y[:limit]
        self.x, self.y = x.astype(np.float32) / 255, y.astype(np.int64)
        return {"version": keras.__version__, "backend": keras.backend.backend(), "batch": self.batch,
                "steps": -(-len(x) // self.batch), "images": len(x)}

    def train(self, steps=0):
        n = min(steps * self.batch, len(self.x)) if steps else len(self.x)
        start = time.perf_counter()
        h = self.net.fit(self.x[:n], self.y[:n], batch_size=self.batch, epochs=1, verbose=0)
        return {"seconds": time.perf_counter() - start, "steps": -(-n // self.batch), "samples": n, "loss": h.history["loss"][0]}

    def predict(self, images, batch):
        x = self.x[:images]
        start = time.perf_counter()
        p = self.net.predict(x, batch_size=batch, verbose=0) if images > 1 else np.asarray(self.net(x, training=False))
        return {"seconds": time.perf_counter() - start, "images": len(x), "classes": p.argmax(1)[:5].tolist()}


if __name__ == "__main__":
    k = Keras()
    peer.serve(setup=k.setup, train=k.train, predict=k.predict)
