"""Optimisers with weight decay, clipping by global norm, EMA and changing rates, over ten steps."""

import keras
import numpy as np

from store import Store, near

NOTE = ("weights[s] = after step s+1, Keras in float32; weights_f64 = Keras in float64, from the same w0 and grads; "
        "ema likewise: the moving average that Keras would finish with. rates[s] = the learning rate of step s+1 "
        "(float64). w0 and each row of grads are the variables, one after the other; the global norm is that of the "
        "row. Row 6 of grads is all zero")

VARIABLES = [("kernel", (3, 4)), ("bias", (4,)), ("gamma", (5,))]
STEPS = 10
EMA = {"use_ema": True, "ema_momentum": 0.9}
CLIP = {"global_clipnorm": 1.0}
DECAY = {"weight_decay": 0.05}


def run(optimizer, config, w0, grads, floatx):
    keras.config.set_floatx(floatx)
    rate = config["learning_rate"]
    options = dict(config)
    if isinstance(rate, dict):
        options["learning_rate"] = keras.optimizers.schedules.ExponentialDecay(**rate)
    opt = getattr(keras.optimizers, optimizer)(**options)
    sizes = np.cumsum([np.prod(shape) for _, shape in VARIABLES])[:-1]
    split = lambda flat: [p.reshape(shape) for p, (_, shape) in zip(np.split(flat, sizes), VARIABLES)]
    variables = [keras.Variable(p, name=name, dtype=floatx) for p, (name, _) in zip(split(w0), VARIABLES)]
    opt.build(variables)
    flat = lambda values: np.concatenate([np.asarray(v).ravel() for v in values])
    rows = {"w": [], "ema": [], "rates": []}
    for g in grads:
        rows["rates"].append(float(np.asarray(opt.learning_rate)))
        opt.apply([keras.ops.convert_to_tensor(p, floatx) for p in split(g)])
        rows["w"].append(flat(variables))
        if config.get("use_ema"):
            rows["ema"].append(flat(opt._model_variables_moving_average))
    assert rows["w"][0].dtype == floatx
    return {k: np.stack(v) for k, v in rows.items() if v}


def hand(optimizer, config, w0, grads, rates):
    """The formulas that README.md states, in numpy."""
    w, m, v, ema = w0.astype("float64"), 0, 0, 0
    get = config.get
    ws, emas = [], []
    for t, (g, lr) in enumerate(zip(grads.astype("float64"), rates), 1):
        if get("global_clipnorm"):
            norm = np.sqrt(np.sum(g * g))
            if norm > config["global_clipnorm"]:
                g = g * (config["global_clipnorm"] / norm)
        decay = get("weight_decay", 0.004 if optimizer == "AdamW" else 0)
        w = w - w * decay * lr
        if optimizer == "SGD":
            mu = get("momentum", 0)
            m = mu * m - lr * g
            w = w + (mu * m - lr * g if get("nesterov") else m)
        elif optimizer == "RMSprop":
            rho = get("rho", 0.9)
            v = rho * v + (1 - rho) * g * g
            w = w - lr * g / np.sqrt(v + 1e-7)
        else:
            m, v = m + (g - m) * 0.1, v + (g * g - v) * 0.001
            w = w - lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        if get("use_ema"):
            momentum = config["ema_momentum"] if t > 1 else 0
            ema = momentum * ema + (1 - momentum) * w
            emas.append(ema)
        ws.append(w)
    return {"w": np.stack(ws), **({"ema": np.stack(emas)} if emas else {})}


def generate(stem):
    random = np.random.default_rng(20240609)
    n = sum(int(np.prod(shape)) for _, shape in VARIABLES)
    w0 = random.standard_normal(n).astype(np.float32)
    # Norms from 0.05 to 30: some steps are clipped, some are not, and one is exactly on zero.
    grads = random.standard_normal((STEPS, n))
    grads *= (np.array([0.05, 0.3, 1, 3, 30, 0.5, 0, 2, 0.99, 8]) / np.linalg.norm(grads, axis=1))[:, None]
    grads = grads.astype(np.float32)

    store = Store(NOTE)
    store.put("w0", w0)
    store.put("grads", grads)
    falling = {"initial_learning_rate": 0.01, "decay_steps": 4, "decay_rate": 0.5, "staircase": False}
    sgd = {"learning_rate": 0.01, "momentum": 0.9}
    for name, optimizer, config in [
        ("sgd_decay", "SGD", {"learning_rate": 0.01, **DECAY}),
        ("sgd_momentum_decay", "SGD", {**sgd, **DECAY}),
        ("sgd_nesterov_decay", "SGD", {**sgd, "nesterov": True, **DECAY}),
        ("sgd_clip", "SGD", {"learning_rate": 0.01, **CLIP}),
        ("sgd_momentum_clip", "SGD", {**sgd, **CLIP}),
        ("sgd_ema", "SGD", {"learning_rate": 0.01, **EMA}),
        ("sgd_all", "SGD", {"learning_rate": falling, "momentum": 0.9, "nesterov": True, **DECAY, **CLIP, **EMA}),
        ("adam_decay", "Adam", {"learning_rate": 0.01, **DECAY}),
        ("adam_clip", "Adam", {"learning_rate": 0.01, **CLIP}),
        ("adam_ema", "Adam", {"learning_rate": 0.01, **EMA}),
        ("adam_ema_default", "Adam", {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.99}),
        ("adam_rates", "Adam", {"learning_rate": falling}),
        ("adam_all", "Adam", {"learning_rate": falling, **DECAY, **CLIP, **EMA}),
        ("adamw_default_decay", "AdamW", {"learning_rate": 0.01}),
        ("adamw_decay", "AdamW", {"learning_rate": 0.01, **DECAY}),
        ("adamw_clip", "AdamW", {"learning_rate": 0.01, **CLIP}),
        ("adamw_ema", "AdamW", {"learning_rate": 0.01, **EMA}),
        ("adamw_all", "AdamW", {"learning_rate": falling, **DECAY, **CLIP, **EMA}),
        ("rmsprop_decay", "RMSprop", {"learning_rate": 0.01, **DECAY}),
        ("rmsprop_clip", "RMSprop", {"learning_rate": 0.01, **CLIP}),
        ("rmsprop_ema", "RMSprop", {"learning_rate": 0.01, **EMA}),
        ("rmsprop_all", "RMSprop", {"learning_rate": falling, **DECAY, **CLIP, **EMA}),
    ]:
        f32, f64 = (run(optimizer, config, w0, grads, floatx) for floatx in ("float32", "float64"))
        by_hand = hand(optimizer, config, w0, grads, f64["rates"])
        # Where |g| is near ε, RMSprop and Adam blow rounding up: hence the wider bound for float32.
        for key in by_hand:
            near(by_hand[key], f64[key], f"{name}/{key}", 1e-13)
            near(f32[key], f64[key], f"{name}/{key} in float32", 3e-6)
        entry = {
            "name": name, "optimizer": optimizer,
            "config": {**config, "weight_decay": config.get("weight_decay", 0.004 if optimizer == "AdamW" else None)},
            "w0": "w0", "grads": "grads", "variables": [{"name": n, "shape": list(s)} for n, s in VARIABLES],
            "rates": store.put(name + "/rates", f64["rates"]),
            "weights": store.put(name + "/w", f32["w"]),
            "weights_f64": store.put(name + "/w_f64", f64["w"]),
        }
        if "ema" in f64:
            entry["ema"] = store.put(name + "/ema", f32["ema"])
            entry["ema_f64"] = store.put(name + "/ema_f64", f64["ema"])
        store.cases.append(entry)
    store.write(stem)
