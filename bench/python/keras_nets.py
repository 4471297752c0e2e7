"""The lesson's networks, and two larger ones, in Keras."""
import keras
from keras import layers


def cnn():
    return [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(28, activation="relu"),
            layers.Dense(10, activation="softmax")]


def lenet5():
    return [layers.Conv2D(6, 3, padding="same", activation="tanh"), layers.AveragePooling2D(2), layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2), layers.Conv2D(120, 5, activation="tanh"), layers.Flatten(), layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax")]


def vgg(dropout=0.0):
    def conv(filters):
        return layers.Conv2D(filters, 3, padding="same", activation="relu")
    return [conv(64), conv(64), layers.MaxPooling2D(2), conv(128), conv(128), layers.MaxPooling2D(2), layers.Flatten(),
            layers.Dense(256, activation="relu"), *([layers.Dropout(dropout)] if dropout else []), layers.Dense(10, activation="softmax")]


NETWORKS = {  # name: layers, input, batch, optimiser
    "cnn": (cnn, (28, 28, 1), 32, lambda: keras.optimizers.Adam()),
    "lenet5": (lenet5, (28, 28, 1), 128, lambda: keras.optimizers.SGD()),
    "vgg": (vgg, (32, 32, 3), 64, lambda: keras.optimizers.SGD(1e-3, 0.9)),
    "vgg-small": (lambda: vgg(0.5), (32, 32, 3), 64, lambda: keras.optimizers.SGD(1e-3, 0.9)),
}


def make(name, **options):
    """The compiled network by name and its batch size; options go to compile."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; there are {', '.join(NETWORKS)}")
    stack, shape, batch, optimizer = NETWORKS[name]
    net = keras.Sequential([keras.Input(shape), *stack()])
    net.compile(optimizer=optimizer(), loss="sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return net, batch
