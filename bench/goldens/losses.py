"""Categorical cross-entropy with label smoothing and class weights, as Keras computes it, in float64."""

import jax
import keras
import numpy as np
import torch
import torch.nn.functional as F

from store import Store, near

NOTE = ("logits are float32, labels int32 class numbers; loss, loss_per_sample and gradients are float64. "
        "loss_per_sample is before class weights; loss = sum(class_weight[label] * loss_per_sample) / batch size, "
        "and grad_input is the gradient of loss at the logits")


def generate(stem):
    keras.config.set_floatx("float64")
    random = np.random.default_rng(20240608)
    store = Store(NOTE)
    weights10 = [1.0, 0.5, 2.0, 0.0, 1.25, 3.0, 1.0, 0.75, 1.0, 10.0]
    for name, batch, classes, smoothing, class_weight, scale in [
        ("plain", 8, 10, 0.0, None, 2),
        ("smoothing_0.1", 8, 10, 0.1, None, 2),
        ("smoothing_0.3", 8, 10, 0.3, None, 2),
        ("smoothing_2_classes", 5, 2, 0.125, None, 2),
        ("smoothing_saturated", 8, 10, 0.1, None, 300),
        ("class_weight", 16, 10, 0.0, weights10, 2),
        ("class_weight_smoothing", 16, 10, 0.1, weights10, 2),
        ("class_weight_2_classes", 5, 2, 0.0, [0.25, 1.5], 2),
        ("batch_of_1", 1, 10, 0.1, [2.0] * 10, 2),
        ("many_classes", 4, 100, 0.1, None, 2),
    ]:
        x = (scale * random.standard_normal((batch, classes))).astype(np.float32)
        labels = random.integers(0, classes, batch).astype(np.int32)
        onehot = np.eye(classes)[labels]
        sample_weight = None if class_weight is None else np.array(class_weight)[labels]

        def loss(x, reduction="sum_over_batch_size", weight=sample_weight):
            entropy = keras.losses.CategoricalCrossentropy(True, smoothing, reduction=reduction)
            return entropy(onehot, x, weight)

        x64 = jax.numpy.asarray(x, "float64")
        value, d_x = jax.value_and_grad(loss)(x64)
        per_sample = loss(x64, None, None)

        t_x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        each = F.cross_entropy(t_x, torch.tensor(labels, dtype=torch.int64), reduction="none", label_smoothing=smoothing)
        total = (each * torch.tensor(1.0 if sample_weight is None else sample_weight)).sum() / batch
        near(each.detach().numpy(), per_sample, name)
        near(total.item(), value, name)
        near(torch.autograd.grad(total, t_x)[0].numpy(), d_x, name)

        store.cases.append({
            "name": name, "layer": "CategoricalCrossentropy",
            "config": {"from_logits": True, "label_smoothing": smoothing, "class_weight": class_weight},
            "input": store.put(name + "/x", x),
            "labels": store.put(name + "/labels", labels),
            "output": store.put(name + "/loss", value),
            "output_per_sample": store.put(name + "/loss_per_sample", per_sample),
            "grad_input": store.put(name + "/dx", d_x),
        })
    fit_shows_class_weighted_loss()
    store.write(stem)


def fit_shows_class_weighted_loss():
    """Asserts what the README says of fit(class_weight=…): it is the loss above, and accuracy is not weighted."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation("softmax")])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, labels = np.log(np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])), np.array([0, 1, 0])
    history = model.fit(x, labels, batch_size=3, class_weight={0: 2.0, 1: 0.5}, verbose=0).history
    near(history["loss"], [-(2 * np.log(0.25) + 0.5 * np.log(0.5) + 2 * np.log(0.9)) / 3], "fit", 1e-6)
    near(history["accuracy"], [1 / 3], "fit", 1e-6)  # argmax of a tie is the first class
