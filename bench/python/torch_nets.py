"""gcnn's networks in PyTorch, with Keras' initial weights, and the optimisers that they are measured with."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def glorot(net):
    """Keras' initial weights: Glorot uniform and zero biases."""
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return net


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1352, 28), nn.ReLU(), nn.Linear(28, 10))


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))


def vgg(dropout=0.0):
    layers, c = [], 3
    for width in 64, 128:
        for _ in range(2):
            layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()]
            c = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(8192, 256), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []), nn.Linear(256, 10))


def alexnet():
    """The 2012 network with its two halves as groups and its response normalisation, 10 classes."""
    def conv(c, filters, kernel, groups):
        return nn.Conv2d(c, filters, kernel, padding=kernel // 2, groups=groups), nn.ReLU()
    lrn = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), lrn, pool, *conv(96, 256, 5, 2), lrn, pool, *conv(256, 384, 3, 1), *conv(384, 384, 3, 2),
        *conv(384, 256, 3, 2), pool, nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(4096, 10))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def resnet9():
    def block(c, filters, pool=False):
        return nn.Sequential(
            nn.Conv2d(c, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters, 1e-5, 0.1), nn.ReLU(),
            *([nn.MaxPool2d(2)] if pool else []))
    return nn.Sequential(
        block(3, 64), block(64, 128, True), Residual(block(128, 128), block(128, 128)), block(128, 256, True),
        block(256, 512, True), Residual(block(512, 512), block(512, 512)), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Fast(nn.Module):
    """The network that reaches 93 % on Fashion-MNIST soonest: a frozen whitening stem of 2·9 filters, then h and c filters."""

    def __init__(self, h=32, c=64, flip_average=False):
        super().__init__()
        self.flip_average = flip_average
        self.whiten = nn.Conv2d(1, 18, 3, padding=1, bias=False)
        self.whiten.weight.requires_grad_(False)
        self.bn0 = nn.BatchNorm2d(18)
        self.conv1, self.bn1 = nn.Conv2d(18, h, 3, padding=1, bias=False), nn.BatchNorm2d(h)
        self.conv2, self.bn2 = nn.Conv2d(h, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.dense, self.bn3 = nn.Linear(9 * c, 128, bias=False), nn.BatchNorm1d(128)
        self.out = nn.Linear(128, 10)

    @torch.no_grad()
    def init_whitening(self, images, epsilon=1e-2):
        """images [N, 1, H, W]: the filters become ± the eigenvectors of 3×3 patches, divided by √(λ+ε)."""
        patches = F.unfold(images, 3).transpose(1, 2).reshape(-1, 9)
        values, vectors = torch.linalg.eigh(torch.cov(patches.T))
        filters = (vectors / torch.sqrt(values + epsilon)).T.reshape(9, 1, 3, 3)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, x):
        if self.training or not self.flip_average:
            return self.logits(x)
        return (self.logits(x) + self.logits(x.flip(3))) / 2

    def logits(self, x):
        x = F.relu(self.bn0(F.max_pool2d(self.whiten(x), 2)))
        x = F.relu(self.bn1(F.max_pool2d(self.conv1(x), 2)))
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.out(F.relu(self.bn3(self.dense(x.flatten(1)))))


NETWORKS = {  # name: network, batch, optimiser
    "cnn": (cnn, 32, "adam"),
    "lenet5": (lenet5, 128, "sgd"),
    "vgg": (vgg, 64, "momentum"),
    "vgg-small": (lambda: vgg(0.5), 64, "momentum"),
    "resnet9": (resnet9, 128, "momentum"),
    "alexnet": (alexnet, 32, "momentum"),
    "fast": (Fast, 256, "adamw"),
}


def make(name):
    """The network by name, its batch size and its optimiser's name."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; there are {', '.join(NETWORKS)}")
    net, batch, optimizer = NETWORKS[name]
    return glorot(net()), batch, optimizer


def make_optimizer(name, net, **options):
    """Keras' Adam, plain SGD, or SGD with momentum at a rate that noise cannot blow up. options: fused, foreach, capturable."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    if name == "adam":
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7, **options)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, **options)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=0.01, **options)
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, **options)
