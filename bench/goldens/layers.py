"""Layer cases: Keras in float64, each checked against PyTorch in float64. LocalResponseNormalization is PyTorch's."""

import jax
import keras
import numpy as np
import torch
import torch.nn.functional as F

from store import Store, near

NOTE = ("inputs, parameters and upstream gradients are float32; outputs and gradients float64 (computed in float64); "
        "a case with several inputs has inputs and grad_inputs instead of input and grad_input")


def nchw(x):
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def nhwc(y):
    return y.permute(0, 2, 3, 1) if y.ndim == 4 else y


def same_pad(x, kernel, strides, dilation=(1, 1)):
    """Pads an NCHW tensor as 'same' does: the odd row or column goes to the end."""
    pads = []
    for n, k, s, d in reversed(list(zip(x.shape[2:], kernel, strides, dilation))):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Maker:
    def __init__(self):
        self.random = np.random.default_rng(20240607)
        self.store = Store(NOTE)

    def normal(self, *shape, scale=1.0):
        return (scale * self.random.standard_normal(shape)).astype(np.float32)

    def parameter(self, name, shape):
        if "variance" in name:
            return self.random.uniform(0.5, 2, shape).astype(np.float32)
        return self.normal(*shape, scale=0.5)

    def case(self, name, layer, xs, twin, training=False, config=None, drop=()):
        """Adds a case of a Keras layer. twin(params, *xs) computes the same in PyTorch from NHWC tensors."""
        xs = xs if isinstance(xs, list) else [xs]
        join = (lambda v: v) if len(xs) > 1 else (lambda v: v[0])
        layer.build(join([x.shape for x in xs]))
        short = [v.name for v in layer.variables]
        params = {n: self.parameter(n, v.shape) for n, v in zip(short, layer.variables)}
        trainable = [v.name for v in layer.trainable_variables]
        rest = [v.name for v in layer.non_trainable_variables if v.name in params and v.dtype == "float64"]
        xs64 = [jax.numpy.asarray(x, "float64") for x in xs]

        def forward(tv, xs):
            fixed = [jax.numpy.asarray(params[n], "float64") if n in rest else v.value
                     for n, v in zip([v.name for v in layer.non_trainable_variables], layer.non_trainable_variables)]
            kwargs = {"training": training} if layer._call_has_training_arg else {}
            y, new = layer.stateless_call(tv, fixed, join(xs), **kwargs)
            return y, new

        tv = [jax.numpy.asarray(params[n], "float64") for n in trainable]
        y, vjp, new = jax.vjp(forward, tv, xs64, has_aux=True)
        assert y.dtype == "float64"
        dy = self.normal(*y.shape)
        d_params, d_xs = vjp(jax.numpy.asarray(dy, "float64"))

        # The same in PyTorch.
        t_params = {n: torch.tensor(p, dtype=torch.float64, requires_grad=n in trainable) for n, p in params.items()}
        t_xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
        t_y = twin(t_params, *t_xs)
        near(t_y.detach().numpy(), y, name)
        wrt = [*t_xs, *(t_params[n] for n in trainable)]
        grads = torch.autograd.grad(t_y, wrt, torch.tensor(dy, dtype=torch.float64))
        for got, want in zip(grads, [*d_xs, *d_params]):
            near(got.numpy(), want, name + ": gradient")

        config = {k: v for k, v in (config or layer.get_config()).items() if k not in drop}
        self.add(name, type(layer).__name__, config, "training" if training else "inference", xs, dy, y, d_xs, params,
                 dict(zip(trainable, d_params)),
                 {v.name: n for v, n in zip(layer.non_trainable_variables, new) if training and v.name in rest})

    def add(self, name, layer, config, mode, xs, dy, y, d_xs, params, d_params, updated):
        put = self.store.put
        many = len(xs) > 1
        entry = {"name": name, "layer": layer, "config": tidy(config), "mode": mode}
        if many:
            entry["inputs"] = [put(f"{name}/x{i}", x) for i, x in enumerate(xs)]
        else:
            entry["input"] = put(f"{name}/x", xs[0])
        entry["upstream"] = put(f"{name}/dy", dy)
        entry["output"] = put(f"{name}/y", y)
        if many:
            entry["grad_inputs"] = [put(f"{name}/dx{i}", d) for i, d in enumerate(d_xs)]
        else:
            entry["grad_input"] = put(f"{name}/dx", d_xs[0])
        entry["params"] = {n: put(f"{name}/{n}", p) for n, p in params.items()}
        entry["grad_params"] = {n: put(f"{name}/d_{n}", d) for n, d in d_params.items()}
        if updated:
            entry["updated"] = {n: put(f"{name}/new_{n}", v) for n, v in updated.items()}
        self.store.cases.append(entry)
        return entry


KEEP = {"filters", "units", "kernel_size", "strides", "padding", "dilation_rate", "groups", "depth_multiplier",
        "activation", "approximate", "use_bias", "negative_slope", "alpha", "beta", "bias", "size", "axis", "momentum",
        "epsilon", "center", "scale", "rate", "keepdims"}


def tidy(config):
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items() if k in KEEP}


def batch_norm(p, x, training, layer):
    axes = tuple(range(x.ndim - 1))
    mean, var = p["moving_mean"], p["moving_variance"]
    if training:
        mean, var = x.mean(axes), x.var(axes, unbiased=False)
    y = (x - mean) / torch.sqrt(var + layer.epsilon)
    return y * p.get("gamma", 1) + p.get("beta", 0)


def batch_norms(m):
    maps, flat = m.normal(4, 3, 5, 6, scale=2) + 1, m.normal(9, 5)
    for name, x, training, options in [
        ("batchnorm_train_maps", maps, True, {}),
        ("batchnorm_infer_maps", maps, False, {}),
        ("batchnorm_train_nocenter", maps, True, {"center": False, "momentum": 0.75, "epsilon": 0.0625}),
        ("batchnorm_train_noscale", flat, True, {"scale": False, "momentum": 0.5}),
        ("batchnorm_train_plain", flat, True, {"center": False, "scale": False}),
        ("batchnorm_infer_plain", flat, False, {"center": False, "scale": False}),
        ("batchnorm_train_one_sample", m.normal(1, 4, 4, 3), True, {}),
        ("batchnorm_train_offset", m.normal(8, 4, 4, 3) + np.float32(1000), True, {}),  # E[x²] − E[x]² would be noise
    ]:
        layer = keras.layers.BatchNormalization(**options)
        m.case(name, layer, x, lambda p, x: batch_norm(p, x, training, layer), training)


def batch_norm_steps(m):
    """Five training steps of one layer from Keras' initial statistics (0 and 1), then inference with what they became."""
    name, steps = "batchnorm_steps", 5
    layer = keras.layers.BatchNormalization(momentum=0.9)
    xs = np.stack([m.normal(6, 2, 3, 4, scale=1 + s) + np.float32(s) for s in range(steps)])
    layer.build(xs.shape[1:])
    gamma, beta = m.parameter("gamma", (4,)), m.parameter("beta", (4,))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    rows = {"y": [], "new_moving_mean": [], "new_moving_variance": []}
    mean, var = np.zeros(4), np.ones(4)
    for x in xs:
        rows["y"].append(np.asarray(layer(x.astype("float64"), training=True)))
        rows["new_moving_mean"].append(np.asarray(layer.moving_mean))
        rows["new_moving_variance"].append(np.asarray(layer.moving_variance))
        x = x.astype("float64")
        mean = 0.9 * mean + 0.1 * x.mean((0, 1, 2))
        var = 0.9 * var + 0.1 * x.var((0, 1, 2))
        near(rows["new_moving_mean"][-1], mean, name)
        near(rows["new_moving_variance"][-1], var, name)
    put = m.store.put
    last = m.normal(2, 2, 3, 4)
    m.store.cases.append({
        "name": name, "layer": "BatchNormalization", "config": tidy(layer.get_config()), "mode": "steps",
        "input": put(f"{name}/x", xs),
        "params": {"gamma": put(f"{name}/gamma", gamma), "beta": put(f"{name}/beta", beta),
                   "moving_mean": put(f"{name}/moving_mean", np.zeros(4, np.float32)),
                   "moving_variance": put(f"{name}/moving_variance", np.ones(4, np.float32))},
        "output": put(f"{name}/y", np.stack(rows["y"])),
        "updated": {n: put(f"{name}/new_{n}", np.stack(rows[f"new_{n}"])) for n in ("moving_mean", "moving_variance")},
        "input_after": put(f"{name}/x_after", last),
        "output_after": put(f"{name}/y_after", layer(last.astype("float64"), training=False)),
    })


def normalizations(m):
    """torch.nn.LocalResponseNorm: y = x / (bias + alpha/size · Σ x²)^beta over size neighbouring channels."""
    for name, shape, size, alpha, beta, bias, scale in [
        ("lrn_alexnet", (2, 3, 3, 12), 5, 1e-4, 0.75, 2.0, 30),
        ("lrn_torch_default", (2, 3, 2, 9), 5, 1e-4, 0.75, 1.0, 1),
        ("lrn_strong", (2, 2, 3, 9), 5, 1.0, 0.75, 1.0, 2),
        ("lrn_3_sqrt", (3, 2, 2, 7), 3, 0.5, 0.5, 0.125, 1),
        ("lrn_9_beta1", (2, 2, 2, 11), 9, 2.0, 1.0, 1.0, 1),
        ("lrn_wider_than_channels", (2, 3, 2, 3), 7, 1.0, 0.75, 2.0, 2),
        ("lrn_one_channel", (2, 2, 2, 1), 5, 1.0, 0.75, 2.0, 2),
    ]:
        x = m.normal(*shape, scale=scale)
        t_x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        norm = torch.nn.LocalResponseNorm(size, alpha, beta, bias)
        y = nhwc(norm(nchw(t_x)))
        dy = m.normal(*shape)
        d_x, = torch.autograd.grad(y, t_x, torch.tensor(dy, dtype=torch.float64))
        half = size // 2
        square = np.pad(x.astype("float64") ** 2, [(0, 0)] * 3 + [(half, half)])
        total = sum(square[..., i:i + shape[3]] for i in range(size))
        near(y.detach().numpy(), x / (bias + alpha / size * total) ** beta, name)
        config = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
        m.add(name, "LocalResponseNormalization", config, "inference", [x], dy, y.detach().numpy(), [d_x.numpy()], {}, {}, {})


def pools_and_pads(m):
    x = m.normal(3, 4, 5, 6)
    gap, gmp = keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D
    m.case("global_average", gap(), x, lambda p, x: x.mean((1, 2)))
    m.case("global_average_1x1", gap(), m.normal(2, 1, 1, 5), lambda p, x: x.mean((1, 2)))
    m.case("global_average_wide", gap(), m.normal(2, 7, 7, 33), lambda p, x: x.mean((1, 2)))
    m.case("global_max", gmp(), x, lambda p, x: x.amax((1, 2)))
    m.case("global_max_negative", gmp(), -np.abs(x) - 1, lambda p, x: x.amax((1, 2)))
    for name, padding in [("zeropad1", 1), ("zeropad_2x1", (2, 1)), ("zeropad_uneven", ((1, 2), (0, 3))),
                          ("zeropad_one_side", ((0, 1), (0, 1)))]:
        layer = keras.layers.ZeroPadding2D(padding)
        (top, bottom), (left, right) = layer.padding
        m.case(name, layer, m.normal(2, 3, 4, 3), lambda p, x: F.pad(x, (0, 0, left, right, top, bottom)))


def merges(m):
    maps = [m.normal(2, 3, 4, 5) for _ in range(3)]
    m.case("add2", keras.layers.Add(), maps[:2], lambda p, *xs: sum(xs))
    m.case("add3", keras.layers.Add(), maps, lambda p, *xs: sum(xs))
    m.case("add_flat", keras.layers.Add(), [m.normal(4, 7), m.normal(4, 7)], lambda p, *xs: sum(xs))
    cat = lambda p, *xs: torch.cat(xs, -1)
    m.case("concatenate2", keras.layers.Concatenate(), [maps[0], m.normal(2, 3, 4, 2)], cat)
    m.case("concatenate3", keras.layers.Concatenate(), [m.normal(2, 3, 4, 1), maps[0], m.normal(2, 3, 4, 17)], cat)
    m.case("concatenate_flat", keras.layers.Concatenate(), [m.normal(4, 7), m.normal(4, 3)], cat)


def dropouts(m):
    x = m.normal(4, 9)
    m.case("dropout_off", keras.layers.Dropout(0.5), x, lambda p, x: x)
    m.case("dropout_rate0_train", keras.layers.Dropout(0.0), x, lambda p, x: x, training=True)


def depthwise(x, kernel, padding, strides, dilation):
    """x NCHW, kernel H×W×C×M as Keras has it."""
    h, w, c, mult = kernel.shape
    if padding == "same":
        x = same_pad(x, (h, w), strides, dilation)
    return F.conv2d(x, kernel.permute(2, 3, 0, 1).reshape(c * mult, 1, h, w), None, strides, 0, dilation, groups=c)


def separables(m):
    for name, shape, kernel, options in [
        ("depthwise3x3_valid", (2, 6, 5, 4), 3, {}),
        ("depthwise3x3_same_s2_mult2", (2, 6, 7, 3), 3, {"padding": "same", "strides": 2, "depth_multiplier": 2}),
        ("depthwise2x4_same", (2, 5, 6, 3), (2, 4), {"padding": "same"}),
        ("depthwise3x3_valid_dil2_nobias", (2, 7, 8, 3), 3, {"dilation_rate": 2, "use_bias": False}),
    ]:
        layer = keras.layers.DepthwiseConv2D(kernel, **options)
        m.case(name, layer, m.normal(*shape), lambda p, x: nhwc(
            depthwise(nchw(x), p["kernel"], layer.padding, layer.strides, layer.dilation_rate)) + p.get("bias", 0),
            config={**layer.get_config(), "activation": "linear"})
    for name, shape, filters, options in [
        ("separable3x3_valid", (2, 6, 5, 4), 5, {}),
        ("separable3x3_same_mult2", (2, 5, 6, 3), 4, {"padding": "same", "depth_multiplier": 2}),
        ("separable3x3_same_s2_nobias", (2, 6, 7, 3), 8, {"padding": "same", "strides": 2, "use_bias": False}),
        ("separable3x3_same_relu", (2, 5, 5, 3), 6, {"padding": "same", "activation": "relu"}),
    ]:
        layer = keras.layers.SeparableConv2D(filters, 3, **options)

        def twin(p, x):
            y = depthwise(nchw(x), p["depthwise_kernel"], layer.padding, layer.strides, layer.dilation_rate)
            y = nhwc(F.conv2d(y, p["pointwise_kernel"].permute(3, 2, 0, 1))) + p.get("bias", 0)
            return F.relu(y) if options.get("activation") else y

        m.case(name, layer, m.normal(*shape), twin,
               config={**layer.get_config(), "activation": options.get("activation", "linear")})


ACTIVATIONS = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=1e9),  # PyTorch's default threshold is an approximation
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def activations(m):
    # Every size of argument, far out into saturation, but not 0, where frameworks differ for some.
    sizes = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.01, 0.1, 0.5, 1, 1.5, 2, 3, 5, 8, 12, 17, 25, 40, 80, 95, 120], np.float32)
    x = np.concatenate([sizes, -sizes, m.normal(24, scale=2)]).reshape(8, 8)
    for name in ("leaky_relu", "elu", "gelu", "silu", "softplus"):
        m.case(name + "_wide", keras.layers.Activation(name), x, lambda p, x: ACTIVATIONS[name](x),
               config={"activation": name})
    m.case("leaky_relu_layer", keras.layers.LeakyReLU(0.0625), x, lambda p, x: F.leaky_relu(x, 0.0625))
    m.case("elu_alpha", keras.layers.ELU(0.5), x, lambda p, x: F.elu(x, 0.5))
    for name, twin in ACTIVATIONS.items():
        conv = keras.layers.Conv2D(5, 3, padding="same", activation=name)
        m.case("conv_" + name, conv, m.normal(2, 4, 5, 3), lambda p, x: twin(nhwc(
            F.conv2d(same_pad(nchw(x), (3, 3), (1, 1)), p["kernel"].permute(3, 2, 0, 1))) + p["bias"]),
            config={**conv.get_config(), "activation": name})
        dense = keras.layers.Dense(5, activation=name)
        m.case("dense_" + name, dense, m.normal(4, 7), lambda p, x: twin(x @ p["kernel"] + p["bias"]),
               config={**dense.get_config(), "activation": name})


def generate(stem):
    keras.config.set_floatx("float64")
    m = Maker()
    for part in (batch_norms, batch_norm_steps, normalizations, pools_and_pads, merges, dropouts, separables, activations):
        part(m)
    m.store.write(stem)
