"""Learning rates by step, and what ReduceLROnPlateau and EarlyStopping decide by epoch."""

import keras
import numpy as np
import torch

from store import write_json

NOTE = ("rates[s] = the learning rate of step s, counted from 0, in float64. Callbacks get val_loss epoch by epoch; "
        "ReduceLROnPlateau: rates[e] = the rate after epoch e. EarlyStopping: stopped_epoch = the epoch after which "
        "training ends, null if it never does; best_epoch = that whose weights are restored, null where "
        "restore_best_weights is off. Epochs count from 0")


def keras_schedules():
    s = keras.optimizers.schedules
    for cls, steps, config in [
        (s.PiecewiseConstantDecay, 12, {"boundaries": [3, 7], "values": [0.1, 0.01, 0.001]}),
        (s.PiecewiseConstantDecay, 6, {"boundaries": [1], "values": [1.0, 0.5]}),
        (s.ExponentialDecay, 25, {"initial_learning_rate": 0.1, "decay_steps": 8, "decay_rate": 0.5, "staircase": False}),
        (s.ExponentialDecay, 25, {"initial_learning_rate": 0.1, "decay_steps": 8, "decay_rate": 0.5, "staircase": True}),
        (s.ExponentialDecay, 10, {"initial_learning_rate": 0.01, "decay_steps": 1, "decay_rate": 0.96, "staircase": False}),
        (s.CosineDecay, 26, {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.0, "warmup_target": None, "warmup_steps": 0}),
        (s.CosineDecay, 26, {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.1, "warmup_target": None, "warmup_steps": 0}),
        (s.CosineDecay, 32, {"initial_learning_rate": 0.0, "decay_steps": 20, "alpha": 0.0, "warmup_target": 0.1, "warmup_steps": 6}),
        (s.CosineDecay, 32, {"initial_learning_rate": 0.01, "decay_steps": 20, "alpha": 0.05, "warmup_target": 0.2, "warmup_steps": 6}),
    ]:
        schedule = cls(**config)
        yield {"framework": "keras", "schedule": cls.__name__, "config": config,
               "rates": [float(np.asarray(schedule(np.int64(step)))) for step in range(steps)]}


def torch_schedules():
    s = torch.optim.lr_scheduler
    cycle = {"max_lr": 0.1, "total_steps": 20, "pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25.0, "final_div_factor": 1e4}
    for cls, steps, rate, config in [
        (s.OneCycleLR, 20, 0.1, cycle),
        (s.OneCycleLR, 20, 0.1, {**cycle, "anneal_strategy": "linear"}),
        (s.OneCycleLR, 37, 0.1, {**cycle, "max_lr": 2.0, "total_steps": 37, "pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0}),
        (s.StepLR, 20, 0.1, {"step_size": 7, "gamma": 0.1}),
        (s.StepLR, 10, 0.05, {"step_size": 1, "gamma": 0.9}),
        (s.LinearLR, 10, 0.1, {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 6}),
        (s.CosineAnnealingLR, 21, 0.1, {"T_max": 20, "eta_min": 0.001}),
    ]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
        schedule = cls(optimizer, **config)
        rates = []
        for _ in range(steps):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if len(rates) < steps:
                schedule.step()
        yield {"framework": "torch", "schedule": cls.__name__, "learning_rate": rate, "config": config, "rates": rates}


FALLING = [1.0, 0.8, 0.7, 0.65, 0.62, 0.6]
PLATEAU = [1.0, 0.9, 0.9, 0.91, 0.9, 0.89995, 0.8999, 0.95, 0.7, 0.7, 0.7, 0.7, 0.69, 0.71, 0.72, 0.73, 0.74, 0.75]
RISING = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def model():
    m = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    m.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    m.stop_training = False
    return m


def plateaus():
    for losses, config in [
        (FALLING, {"factor": 0.1, "patience": 2}),
        (RISING, {"factor": 0.1, "patience": 2}),
        ([0.5] * 24, {"factor": 0.1, "patience": 10}),  # Keras' defaults
        (PLATEAU, {"factor": 0.1, "patience": 10}),
        (PLATEAU, {"factor": 0.5, "patience": 2}),
        (PLATEAU, {"factor": 0.5, "patience": 1, "cooldown": 2}),
        (PLATEAU, {"factor": 0.5, "patience": 2, "min_delta": 0.0}),
        (PLATEAU, {"factor": 0.5, "patience": 0, "min_delta": 0.05, "min_lr": 0.02}),
    ]:
        config = {"factor": 0.1, "patience": 10, "min_delta": 1e-4, "cooldown": 0, "min_lr": 0.0, **config}
        m = model()
        callback = keras.callbacks.ReduceLROnPlateau("val_loss", mode="min", **config)
        callback.set_model(m)
        callback.on_train_begin()
        rates = []
        for epoch, loss in enumerate(losses):
            callback.on_epoch_end(epoch, {"val_loss": loss})
            rates.append(float(np.asarray(m.optimizer.learning_rate)))
        yield {"config": config, "learning_rate": 0.1, "val_loss": losses, "rates": rates}


def stops():
    for losses, config in [
        (FALLING, {"patience": 0}),
        (RISING, {"patience": 0}),  # Keras' defaults; the first epoch never stops
        (RISING, {"patience": 2, "restore_best_weights": True}),
        (PLATEAU, {"patience": 1, "restore_best_weights": True}),
        (PLATEAU, {"patience": 3, "restore_best_weights": True}),
        (PLATEAU, {"patience": 4, "restore_best_weights": True}),
        (PLATEAU, {"patience": 10, "restore_best_weights": True}),
        (PLATEAU, {"patience": 4, "min_delta": 0.05, "restore_best_weights": True}),
        (PLATEAU, {"patience": 3, "min_delta": 0.2, "restore_best_weights": True}),
        (PLATEAU, {"patience": 2, "start_from_epoch": 9, "restore_best_weights": True}),
        (FALLING, {"patience": 2, "restore_best_weights": True}),
    ]:
        config = {"patience": 0, "min_delta": 0.0, "restore_best_weights": False, "start_from_epoch": 0, **config}
        m = model()
        callback = keras.callbacks.EarlyStopping("val_loss", mode="min", **config)
        callback.set_model(m)
        callback.on_train_begin()
        stopped = None
        for epoch, loss in enumerate(losses):
            m.set_weights([np.full((1, 1), epoch)])  # so that the weights tell their epoch
            callback.on_epoch_end(epoch, {"val_loss": loss})
            if m.stop_training:
                stopped = epoch
                break
        callback.on_train_end()
        restored = int(m.get_weights()[0][0, 0]) if config["restore_best_weights"] else None
        yield {"config": config, "val_loss": losses, "stopped_epoch": stopped, "best_epoch": restored}


def generate(path):
    keras.config.set_floatx("float64")
    value = {"note": NOTE, "schedules": [*keras_schedules(), *torch_schedules()],
             "reduce_lr_on_plateau": list(plateaus()), "early_stopping": list(stops())}
    write_json(path, value)
    print(f"{path.name}: {len(value['schedules'])} schedules, {path.stat().st_size} bytes")
