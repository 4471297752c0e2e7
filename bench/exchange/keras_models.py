"""Small networks as Keras users write them, for make_models.py."""
import keras
import numpy as np
from keras import layers


def lesson():
    """Bytes in, rescaled inside; a Sequential model."""
    return keras.Sequential([
        keras.Input((14, 14, 1)), layers.Rescaling(1 / 255), layers.Conv2D(6, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
        layers.Dense(12, activation="relu"), layers.Dropout(0.5), layers.Dense(10, activation="softmax")])


def residual():
    """'same' padding with strides, batch normalisation between, branches, separable and dilated convolutions, a global maximum."""
    x = inputs = keras.Input((17, 20, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = y = layers.Activation("relu")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", activation="silu")(y)
    y = layers.BatchNormalization(scale=False)(y)
    y = layers.Conv2D(8, 3, dilation_rate=2, padding="same")(y)
    x = layers.add([x, y])
    # not AveragePooling2D with 'same': on PyTorch, Keras averages over repeated edges (weights/keras/testdata has "pools")
    x = layers.concatenate([layers.MaxPooling2D(3, 2, padding="same")(x), layers.AveragePooling2D((1, 2), 2)(x)])
    x = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    x = layers.Conv2D(12, (2, 3), groups=2, activation="tanh")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(6, activation="softmax")(x))


def activations():
    x = inputs = keras.Input((9, 8, 2))
    # tf2onnx writes gelu with Erfc, which ONNX does not have, and takes ELU with another alpha apart
    all_kinds = keras.backend.backend() != "tensorflow"
    for i, f in enumerate(["elu", "gelu" if all_kinds else "relu", "softplus", "sigmoid", "leaky_relu", "tanh", "silu"]):
        x = layers.Conv2D(4 + i, 3, padding="same", activation=f)(x)
    x = layers.LeakyReLU(0.05)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    x = layers.Flatten()(layers.ELU(0.7 if all_kinds else 1)(layers.AveragePooling2D(2)(x)))
    x = layers.BatchNormalization()(layers.Dense(9)(x))
    return keras.Model(inputs, layers.Dense(4)(x))


def mobile():
    """MobileNet's activations, by name and as a layer."""
    x = inputs = keras.Input((10, 9, 3))
    x = layers.ReLU(6)(layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu")(x))
    x = layers.Activation("hard_swish")(layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x))
    x = layers.Dense(9, activation="hard_sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def pools():
    """What no ONNX exporter gets right: 'same' average pools, and normalisation that was adapted to data."""
    x = inputs = keras.Input((9, 10, 3))
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(1, 3, (50, 9, 10, 3)))
    x = normalization(layers.Rescaling(1 / 127.5, offset=-1)(x))
    x = layers.AveragePooling2D(3, 2, padding="same")(layers.Conv2D(6, 4, padding="same", name="first")(x))
    x = layers.concatenate([layers.ReLU()(x), layers.MaxPooling2D(2, 1, padding="same")(x)])
    x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Softmax()(x), name="pools")


MODELS = {"lesson": lesson, "residual": residual, "activations": activations, "mobile": mobile, "pools": pools}


def make(name, seed=1):
    """The network, with batch statistics that are not 0 and 1, and a batch of inputs."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    net = MODELS[name]()
    rng = np.random.default_rng(seed)
    for v in net.weights:
        low, high = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 2), "beta": (-0.5, 0.5), "moving_mean": (-0.5, 0.5), "bias": (-0.2, 0.2)}.get(
            v.name, (0, 0))
        if high:
            v.assign(rng.uniform(low, high, v.shape).astype(np.float32))
    x = rng.integers(0, 256, (3, *net.input_shape[1:])) if name in ("lesson", "pools") else rng.standard_normal((3, *net.input_shape[1:]))
    x = x.astype(np.float32)
    net(x)  # builds what export needs
    return net, x
