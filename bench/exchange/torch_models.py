"""Small networks as PyTorch users write them, for make_models.py."""
import torch
from torch import nn
from torch.nn import functional as F


class Lesson(nn.Module):
    """PyTorch's own MNIST example, smaller: view with a computed size, log_softmax at the end."""
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, 1), nn.Conv2d(6, 8, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(8 * 5 * 5, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout1(x)
        x = x.view(x.size(0), -1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class Block(nn.Module):
    """torchvision's BasicBlock."""
    def __init__(self, planes_in, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or planes_in != planes:
            self.downsample = nn.Sequential(nn.Conv2d(planes_in, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's ResNet with one block a stage: its stem pads 3 and its pool 1, which no 'same' padding says."""
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = Block(8, 8), Block(8, 12, 2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(12, 7)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class Activations(nn.Module):
    """Every activation that gcnn has, depthwise and dilated convolutions, two branches, pools that count their padding."""
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same")
        self.depthwise = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.dilated = nn.Conv2d(16, 8, 3, padding=2, dilation=2)
        self.left, self.right = nn.Conv2d(8, 4, (1, 3), padding=(0, 1)), nn.Conv2d(8, 6, (3, 1), padding=(1, 0))
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.plain = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.bn = nn.BatchNorm1d(20)
        self.fc1, self.fc2 = nn.Linear(10 * 6 * 8, 20), nn.Linear(20, 5)

    def forward(self, x):
        x = F.silu(self.stem(x))
        x = F.gelu(self.depthwise(x))
        x = F.leaky_relu(self.dilated(x), 0.01)
        x = torch.cat([F.elu(self.left(x), 0.5), F.softplus(self.right(x))], 1)
        x = self.plain(torch.tanh(self.pool(F.pad(x, (1, 0, 0, 2)))))
        x = torch.sigmoid(self.bn(self.fc1(x.flatten(1))))
        return F.softmax(self.fc2(x), -1)


class Mobile(nn.Module):
    """MobileNet's activations: relu6, hard swish and hard sigmoid, as modules and written out."""
    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.act = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        self.depthwise, self.relu6 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6()
        self.project, self.expand = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 12, 1)
        self.fc1, self.fc2 = nn.Linear(12, 10), nn.Linear(10, 4)

    def forward(self, x):
        x = self.relu6(self.depthwise(self.act(4 * self.bn(self.stem(x)))) * 2)
        x = self.project(x)
        x = x * F.relu6(x + 3) / 6
        x = F.relu6(3 * self.expand(x) + 3) / 6 + F.hardtanh(x, 0, 6)
        return self.fc2(F.hardsigmoid(self.fc1(x.mean([2, 3]))))


class AlexNet(nn.Module):
    """AlexNet's kinds of layers: LocalResponseNorm, overlapping pools, groups."""
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 5, 2), nn.ReLU(), nn.LocalResponseNorm(5, alpha=0.05, beta=0.75, k=2.0), nn.MaxPool2d(3, 2),
            nn.Conv2d(12, 16, 3, padding=1, groups=2), nn.ReLU(), nn.LocalResponseNorm(3, alpha=0.02), nn.MaxPool2d(3, 2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16 * 2 * 2, 24), nn.ReLU(), nn.Dropout(),
                                        nn.Linear(24, 10), nn.Softmax(1))

    def forward(self, x):
        return self.classifier(self.features(x))


class Normalized(nn.Module):
    """Takes bytes and normalises them itself, as people do who deploy; a head of convolutions and a global maximum."""
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 10, 1)

    def forward(self, x):
        x = (x.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        x = self.conv2(F.relu(self.conv1(x)))
        return F.softmax(torch.amax(x, (2, 3)), 1)


class Pooled(nn.Module):
    """Batch normalisation behind pools and a sum, without weights of its own once; Identity, channel dropout, a mean as the global pool."""
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 12, 3, groups=4), nn.BatchNorm2d(12, affine=False)
        self.depthwise, self.pointwise, self.bn3 = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.Conv2d(12, 12, 1), nn.BatchNorm2d(12)
        self.identity, self.dropout, self.fc = nn.Identity(), nn.Dropout2d(0.3), nn.Linear(12, 5, bias=False)

    def forward(self, x):
        x = self.bn1(F.max_pool2d(F.relu(self.conv1(x)), 2))
        x = self.dropout(self.identity(self.bn2(F.avg_pool2d(self.conv2(x), 2))))
        x = x + self.bn3(self.pointwise(self.depthwise(x)))
        return F.softmax(self.fc(x.mean([2, 3])), 1)


MODELS = {  # name: class, input (without the batch), dtype
    "lesson": (Lesson, (1, 14, 14)),
    "resnet": (ResNet, (3, 33, 40)),
    "activations": (Activations, (3, 10, 14)),
    "alexnet": (AlexNet, (3, 31, 31)),
    "normalized": (Normalized, (15, 13, 3)),
    "pooled": (Pooled, (3, 16, 18)),
    "mobile": (Mobile, (3, 15, 18)),
}


def make(name):
    """The network in inference mode, with batch statistics that are not 0 and 1, and a batch of inputs."""
    kind, shape = MODELS[name]
    net = kind()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                if module.affine:
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    x = torch.randint(0, 256, (3, *shape), dtype=torch.uint8) if name == "normalized" else torch.randn(3, *shape)
    return net.eval(), x
