"""Networks made of PyTorch modules: gradients, translations, refusals, and the way back."""

import copy
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.kernels.errors import InputError

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

GOAL = bench.make("objective", "cross_entropy")


class Block(nn.Module):
    """Two convolutions with a shortcut, as in a ResNet, without normalisation."""

    def __init__(self, below, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(below, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        same = below == channels and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(below, channels, 1, stride)

    def forward(self, x):
        inside = functional.relu(self.conv1(x))
        return functional.relu(self.conv2(inside) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, channels=3, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.layer1, self.layer2 = Block(4, 4), Block(4, 6, 2)
        self.fc = nn.Linear(6, classes)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = self.layer2(self.layer1(x))
        x = functional.adaptive_avg_pool2d(x, 1)
        return self.fc(torch.flatten(x, 1))


class PreActivation(nn.Module):
    """What is added is seen both by an activation and by the next sum."""

    def __init__(self):
        super().__init__()
        self.input, self.inner = nn.Linear(6, 8), nn.Linear(8, 8)
        self.outer, self.fc = nn.Linear(8, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x):
        x = self.input(x)
        x = x + self.outer(torch.tanh(self.inner(torch.sigmoid(x))))
        return self.fc(functional.softplus(x))


class PooledShortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.pool, self.fc = nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv1(x).tanh()
        x = torch.add(self.pool(x), self.conv2(x))
        return self.fc(x.sigmoid().mean(dim=(-1, -2)))


class Classic(nn.Module):
    """Maxima before an activation and after one, and one that a shortcut sees besides."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 3 * 2, 3)

    def forward(self, x):
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        y = torch.tanh(self.conv2(x))
        y = functional.max_pool2d(y, 2, ceil_mode=True) + functional.avg_pool2d(
            y, 2, ceil_mode=True
        )
        return self.fc(torch.flatten(functional.softplus(y), 1))


class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(4 * 4 * 2, 3)

    def forward(self, x):
        x = functional.avg_pool2d(self.conv(x), (1, 2)).relu_()
        return self.fc(x.view(x.size(0), -1))


class SumOfList(nn.Module):
    """Branches of the input, added by sum(), which begins with 0; and a shortcut of the input."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(torch.tanh(sum(branch(x) for branch in self.branches) + x))


class Functions(nn.Module):
    """Layers whose parameters functions take, and a sum that has no layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(8, 3, bias=False)

    def forward(self, x):
        x = functional.conv2d(torch.add(input=x, other=x), self.conv.weight, self.conv.bias)
        return functional.linear(input=torch.tanh(x).flatten(1), weight=self.fc.weight)


MODULES = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), (6,)),
    "dense in evaluation mode": (
        lambda: nn.Sequential(
            nn.Linear(6, 8, bias=False), nn.Sigmoid(), nn.Dropout(), nn.Linear(8, 3), nn.Softplus()
        ).eval(),
        (6,),
    ),
    "two linear layers in a row": (
        lambda: nn.Sequential(nn.Identity(), nn.Linear(6, 4), nn.Linear(4, 3)),
        (6,),
    ),
    "convolution with padding and stride": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 3)
        ),
        (2, 7, 5),
    ),
    "pooling before and after an activation": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 5, padding="same"),
            nn.AvgPool2d(2),
            nn.Tanh(),
            nn.Conv2d(4, 3, 3, padding=1),
            nn.Softplus(),
            nn.AvgPool2d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(12, 3),
        ),
        (3, 8, 8),
    ),
    "pooling of the input, and into parts": (
        lambda: nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(1, 3, 2),
            nn.AdaptiveAvgPool2d((2, 3)),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(18, 3),
        ),
        (1, 9, 9),
    ),
    "max pooling after an activation": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(3, 4, 2),
            nn.MaxPool2d((1, 2)),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(12, 3),
        ),
        (2, 10, 8),
    ),
    "max pooling of the input, with padding": (
        lambda: nn.Sequential(
            nn.MaxPool2d(3, 4, 1), nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
        ),
        (1, 11, 11),
    ),
    "max pooling, then averages, then an activation": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3),
            nn.MaxPool2d(2),
            nn.AvgPool2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (1, 10, 10),
    ),
    "max pooling beside a shortcut": (Classic, (1, 12, 10)),
    "a map averaged at the output": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        (3, 8, 8),
    ),
    "images flattened at once": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3)),
        (3, 4, 4),
    ),
    "residual": (ResNet, (3, 8, 8)),
    "residual before activations": (PreActivation, (6,)),
    "a shortcut of averages": (PooledShortcut, (2, 6, 7)),
    "functions and views": (Viewed, (3, 6, 6)),
    "a sum of a list": (SumOfList, (6,)),
    "parameters given to functions": (Functions, (1, 4, 4)),
    "one layer": (lambda: nn.Linear(6, 3), (6,)),
}


ONE_BY_ONE = ("feedback_alignment", "node_perturbation", "predictive_coding", "weight_perturbation")
"""Rules that run on a network without shortcuts too, in different ways."""


def made(name, seed=0):
    """A module in double precision, and the shape of what it takes."""
    build, shape = MODULES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double(), shape


def examples(shape, size=5, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((size, *shape)), random.integers(0, 3, size)


def backward(module, inputs, classes):
    """Loss by autograd, which leaves the gradient in the module."""
    module.zero_grad()
    output = module(torch.as_tensor(inputs))
    loss = functional.cross_entropy(output, torch.as_tensor(classes))
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("name", MODULES)
def test_gradient_is_that_of_autograd(name, record_figure):
    module, shape = made(name)
    network = bench.from_torch(module, shape)
    inputs, classes = examples(shape)
    batch = bench.Batch(network.rows(inputs), classes)
    assert abs(bench.loss(network, GOAL, batch) - backward(module, inputs, classes)) < 1e-12
    theirs, ours = network.gradients(module), bench.gradient(network, GOAL, batch)
    assert set(ours) == {key for key, _ in module.named_parameters()}
    for key, array in ours.items():
        error = np.abs(array - theirs[key]).max() / np.abs(theirs[key]).max()
        record_figure("gradient of a network made of a module", f"{error:.1e}", "1e-10")
        assert error < 1e-10


@pytest.mark.parametrize("name", ["convolution with padding and stride", "residual", "dense"])
def test_what_is_learned_goes_back_and_forth(name):
    module, shape = made(name)
    network = bench.from_torch(module, shape)
    random = np.random.default_rng(4)
    moved = network.with_parameters(
        {key: random.standard_normal(array.shape) for key, array in network.parameters.items()}
    )
    assert bench.to_torch(moved, module) is module
    again = bench.from_torch(module, shape)
    for key, array in moved.parameters.items():
        np.testing.assert_array_equal(again.parameters[key], array)
        np.testing.assert_array_equal(
            network.tensors({key: array})[key], module.get_parameter(key).detach().numpy()
        )
    inputs, _ = examples(shape)
    output = module(torch.as_tensor(inputs)).detach().numpy()
    np.testing.assert_allclose(moved.forward(network.rows(inputs)).output, output, rtol=1e-10)


def test_a_module_in_single_precision_gets_what_was_learned():
    module = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    network = bench.from_torch(module)
    assert network.dtype == np.float64
    course = bench.train(
        bench.make("rule", "backprop"),
        bench.make("task", "digits"),
        network,
        GOAL,
        steps=3,
        learning_rate=0.1,
    )
    bench.to_torch(course.network, module)
    weights = module[0].weight.detach()
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights, course.network.parameters["0.weight"], rtol=1e-6)
    assert np.abs(weights.numpy() - network.parameters["0.weight"]).max() > 1e-4


class Smooth(nn.Module):
    """A block of a residual network with saturating neurons."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.tanh(x + self.conv2(torch.tanh(self.conv1(x))))


def test_a_residual_network_learns_by_feedback_alignment(record_figure):
    """Hidden layers learn something: it beats the network whose last layer learns alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = [nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), Smooth(8), nn.AvgPool2d(2)]
        last = [Smooth(8), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)]
        network = bench.from_torch(nn.Sequential(*first, *last), (1, 8, 8))
    accuracy = {}
    for rule in ("feedback_alignment", "readout_only"):
        course = bench.train(
            bench.make("rule", rule),
            bench.make("task", "digits"),
            network,
            GOAL,
            steps=300,
            optimiser="adam",
            learning_rate=0.003,
            evaluate_every=300,
        )
        end = course.frame.query("quantity == 'test_accuracy'")["value"].iloc[-1]
        accuracy[rule] = end
        record_figure(
            f"test accuracy of a residual network on digits, {rule}",
            f"{end:.2f}",
            "feedback_alignment 0.1 above readout_only",
        )
    assert accuracy["feedback_alignment"] > accuracy["readout_only"] + 0.1


def test_names_and_images_are_those_of_the_module():
    module, shape = made("residual")
    network = bench.from_torch(module, torch.zeros(1, *shape))
    names = [population.name for population in network.populations]
    assert names == ["stem", *[f"layer{n}.conv{m}" for n in (1, 2) for m in (1, 2)], "fc"]
    assert [(wire.source, wire.target) for wire in network.wires] == [("stem", "layer1.conv2")]
    image = np.arange(np.prod(shape)).reshape(1, *shape)
    rows = network.rows(image)
    assert rows[0, 0] == image[0, 0, 0, 0]
    assert rows[0, 1] == image[0, 1, 0, 0]
    assert rows[0, 3] == image[0, 0, 0, 1]
    with pytest.raises(InputError, match=r"is not \(B, 3, 8, 8\)"):
        network.rows(image[:, :2])


def test_parameters_of_the_same_names_as_ours_are_told_apart():
    """A layer that is called input is not the input."""
    module, shape = made("residual before activations")
    network = bench.from_torch(module, shape)
    assert next(population.name for population in network.populations) == "input_"
    assert "input.weight" in network.parameters


def test_feedback_of_a_module_is_a_state():
    """Autograd through other weights, as feedback alignment is written for PyTorch."""
    module, shape = made("convolution with padding and stride")
    network = bench.from_torch(module, shape)
    inputs, classes = examples(shape)
    back = torch.as_tensor(np.random.default_rng(1).standard_normal((3, 48)))
    hidden = module[:3](torch.as_tensor(inputs))
    output = module[3](hidden.detach())
    functional.cross_entropy(output, torch.as_tensor(classes), reduction="mean").backward()
    error = torch.softmax(output.detach(), 1)
    error[np.arange(5), classes] -= 1
    hidden.backward(error / 5 @ back)
    rule = bench.make("rule", "feedback_alignment")
    state = network.feedback({"3.weight": back})
    assert {key: a.shape for key, a in state.items()} == {
        key: a.shape for key, a in bench.initial_state(rule, network).items()
    }
    batch = bench.Batch(network.rows(inputs), classes)
    found = bench.estimates(rule, network, GOAL, batch, 1, state=state)
    for key, array in network.gradients(module).items():
        np.testing.assert_allclose(found[key][0], array, rtol=1e-10, atol=1e-13)
    with pytest.raises(InputError, match=r"3\.weight is missing"):
        network.feedback({"0.weight": module[0].weight})


def test_measured_beside_its_own_module():
    """A function of PyTorch that estimates the gradient, against the network's own."""
    module, shape = made("residual")
    network = bench.from_torch(module, shape)
    inputs, classes = examples(shape)

    def update(parameters, batch, rng):
        bench.to_torch(network.with_parameters(parameters), module)
        backward(module, inputs, classes)
        return network.gradients(module)

    batch = bench.Batch(network.rows(inputs), classes)
    measured = bench.measure_function(update, network.parameters, batch, reference=(network, GOAL))
    assert measured.value("bias_squared") < 1e-24


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        *((rule, "residual") for rule in sorted(registry.entries("rule"))),
        *((rule, "pooling before and after an activation") for rule in ONE_BY_ONE),
        *((rule, "max pooling after an activation") for rule in ONE_BY_ONE),
    ],
)
def test_every_rule_runs_or_says_why_not(rule, name):
    module, shape = made(name)
    network = bench.from_torch(module, shape)
    inputs, classes = examples(shape, 4)
    batch = bench.Batch(network.rows(inputs), classes)
    component = bench.make("rule", rule)
    reason = component.refusal(network, GOAL)
    if reason is not None:
        pytest.skip(reason)
    found = bench.estimates(component, network, GOAL, batch, 2)
    for key, array in network.parameters.items():
        assert found[key].shape == (2, *array.shape)
        assert np.isfinite(found[key]).all()
        learns = rule != "readout_only" or key in list(network.parameters)[-2:]
        assert (np.abs(found[key]).max() > 0) == learns


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.fc = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.first(torch.tanh(self.first(x))))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


class Raw(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.scale = nn.Linear(6, 3), nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.fc(x) * self.scale


class InPlace(nn.Module):
    """The sum sees what the activation has written over its input."""

    def __init__(self):
        super().__init__()
        self.fc, self.top = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.fc(x)
        return self.top(x + functional.relu(x, inplace=True))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x, cue):
        return self.fc(x + cue)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.head = nn.Linear(6, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return 0.5 * self.fc(x)


class Computed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        return functional.linear(x, self.fc(x))


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x) + 1


class TwoOutputs(Shifted):
    def forward(self, x):
        return self.fc(x), x


class PooledByFunction(Shifted):
    def forward(self, x):
        return self.fc(functional.adaptive_max_pool2d(x, 1))


def dense(*more):
    return nn.Sequential(nn.Linear(6, 3), *more)


def image(*more):
    return nn.Sequential(nn.Conv2d(1, 2, 3), *more, nn.Flatten(), nn.LazyLinear(3))


def tied():
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    module[2].weight = module[0].weight
    return module


def hooked():
    module = dense()
    module[0].register_forward_hook(lambda layer, given, output: 2 * output)
    return module


def watched():
    module = dense()
    module[0].weight.register_hook(lambda gradient: 2 * gradient)
    return module


def summed():
    module = dense()
    module[0].weight.register_post_accumulate_grad_hook(lambda weight: None)
    return module


def frozen():
    module = dense()
    module[0].bias.requires_grad_(False)
    return module


def empty():
    module = dense()
    module[0].weight = nn.Parameter(torch.zeros(0, 6))
    return module


def lost():
    module = dense()
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    return module


def attention():
    return nn.Sequential(nn.Linear(6, 6), nn.TransformerEncoderLayer(6, 2))


WEIGHT_NORM = torch.nn.utils.parametrizations.weight_norm
REFUSED = {
    "batch normalisation": (lambda: dense(nn.BatchNorm1d(3)), r"1 \(BatchNorm1d\).*fold it into"),
    "layer normalisation": (lambda: dense(nn.LayerNorm(3)), r"1 \(LayerNorm\).*leave it out"),
    "attention": (attention, r"1 \(TransformerEncoderLayer\).*bench.measure_function"),
    "softmax": (lambda: dense(nn.LogSoftmax(1)), r"1 \(LogSoftmax\).*cross_entropy"),
    "an activation that we lack": (lambda: dense(nn.GELU()), r"1 \(GELU\).*tanh"),
    "training-mode dropout": (lambda: dense(nn.Dropout()), r"1 \(Dropout\).*module.eval\(\)"),
    "softplus with a slope": (lambda: dense(nn.Softplus(2)), r"1 \(Softplus\) has beta 2"),
    "a parameter of two layers": (tied, r"2\.weight and 0\.weight are one parameter"),
    "a layer used twice": (Twice, r"first\.weight is used twice"),
    "hooks": (hooked, r"0 \(Linear\) has hooks"),
    "hooks of a parameter": (watched, r"0\.weight has hooks"),
    "hooks of a gradient": (summed, r"0\.weight has hooks"),
    "half precision": (lambda: dense().half(), r"0\.weight is of type float16"),
    "bfloat16": (lambda: dense().bfloat16(), r"0\.weight is of type bfloat16"),
    "another device": (lambda: dense().to("meta"), r"0\.weight is on the device meta.*\.cpu\(\)"),
    "a frozen parameter": (frozen, r"0\.bias is frozen"),
    "numbers that are none": (lost, r"0\.weight has numbers that are not finite"),
    "parametrized": (
        lambda: nn.Sequential(WEIGHT_NORM(nn.Linear(6, 3))),
        r"0 \(ParametrizedLinear\) is parametrized",
    ),
    "values that decide": (Branching, r"torch\.fx cannot trace Branching"),
    "a parameter without a layer": (Raw, r"mul"),
    "a factor": (Scaled, r"mul cannot be taken"),
    "in place": (InPlace, r"gives other outputs than it.*in place"),
    "two inputs": (TwoInputs, r"has the inputs x, cue"),
    "a layer without use": (Unused, r"head\.weight is not used"),
    "an activation of the input only": (lambda: nn.Sequential(nn.Tanh()), r"has no weights"),
    "an average of activity at the end": (
        lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3), nn.Tanh(), nn.Tanh()),
        r"has no weights of its own",
    ),
    "an empty layer": (empty, r"0\.weight has shape \(0, 6\)"),
    "weights that are computed": (Computed, r"the weights of linear are no parameter"),
    "something added": (Shifted, r"add is called|add adds something other"),
    "two outputs": (TwoOutputs, r"something other than one tensor"),
    "max pooling by a function": (
        PooledByFunction,
        r"max_pool2d cannot be taken; use max_pool2d or avg_pool2d",
    ),
    "not a module": (lambda: np.ones(3), r"is not a torch\.nn\.Module"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_named(name):
    build, said = REFUSED[name]
    with pytest.raises(InputError, match=said) as error:
        bench.from_torch(build(), (6,))
    assert "\n" not in str(error.value)


IMAGES = {
    "max pooling over windows that overlap": (
        lambda: [nn.MaxPool2d(3, 2)],
        r"windows of 1 \(MaxPool2d\) overlap.*AvgPool2d",
    ),
    "max pooling that says where": (
        lambda: [nn.MaxPool2d(2, return_indices=True)],
        r"1 \(MaxPool2d\) returns indices",
    ),
    "max pooling into parts": (
        lambda: [nn.AdaptiveMaxPool2d(2)],
        r"1 \(AdaptiveMaxPool2d\).*use MaxPool2d or AvgPool2d",
    ),
    "groups": (lambda: [nn.Conv2d(2, 2, 3, groups=2)], r"1 \(Conv2d\) has groups"),
    "dilation": (lambda: [nn.Conv2d(2, 2, 3, dilation=2)], r"1 \(Conv2d\) has groups or a dil"),
    "another padding": (
        lambda: [nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")],
        r"1 \(Conv2d\) pads with circular",
    ),
    "a kernel that is no square": (
        lambda: [nn.Conv2d(2, 2, (3, 1))],
        r"kernel of 1 \(Conv2d\) is 3 x 1",
    ),
    "an even kernel that keeps the size": (
        lambda: [nn.Conv2d(2, 2, 2, padding="same")],
        r"1 \(Conv2d\) pads the two ends",
    ),
    "normalisation": (lambda: [nn.GroupNorm(1, 2)], r"1 \(GroupNorm\).*leave it out"),
    "a linear layer on a map": (lambda: [nn.Linear(6, 6)], r"1 \(Linear\).*put Flatten"),
    "flattened in part": (lambda: [nn.Flatten(2)], r"1 \(Flatten\) flattens other axes"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_what_cannot_be_taken_of_images_is_named(name):
    build, said = IMAGES[name]
    module = nn.Sequential(nn.Conv2d(1, 2, 3), *build(), nn.Flatten(), nn.Linear(72, 3))
    with pytest.raises(InputError, match=said):
        bench.from_torch(module, (1, 8, 8))


def test_what_is_said_about_batch_normalisation_helps():
    """Folded into the convolution before it, it is taken."""
    convolution, norm = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    norm.running_mean += torch.tensor([0.5, -0.5])
    norm.running_var *= 3
    rest = [nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)]
    with pytest.raises(InputError, match=r"1 \(BatchNorm2d\).*fuse_conv_bn_eval"):
        bench.from_torch(nn.Sequential(convolution, norm, *rest), (1, 6, 6))
    folded = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
    network = bench.from_torch(nn.Sequential(folded, *rest), (1, 6, 6))
    inputs = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = nn.Sequential(convolution, norm, *rest)(inputs).numpy()
    ours = network.forward(network.rows(inputs)).output
    np.testing.assert_allclose(ours, output, rtol=1e-4, atol=1e-5)  # in single precision


def test_layers_without_a_shape_are_named():
    with pytest.raises(InputError, match=r"2\.weight has no shape yet; call the module once"):
        bench.from_torch(image(), (1, 8, 8))


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (None, "the module does not say what it takes"),
        ((1, 8), "is not that of"),
        (np.zeros((0, 1, 8, 8)), "is not that of"),
        (np.full((1, 1, 8, 8), np.nan), "not finite"),
        ("images", "is not a real number"),
        ((6,), "6 units in place of a map"),
        ((3, 8, 8), "takes 1 channels and is given 3"),
        ((1, 2, 2), "does not fit a map of 2 x 2"),
        ((1, 9, 9), "takes 72 units and is given 98"),
    ],
)
def test_bad_examples_are_refused(example, said):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    with pytest.raises(InputError, match=said):
        bench.from_torch(module, example)


def test_bad_translations_are_refused():
    module, _ = made("dense")
    network = bench.from_torch(module)
    for call, said in [
        (lambda: network.gradients(module), r"gradient of 0\.weight is None"),
        (lambda: network.arrays({"0.weights": 1}), r"did you mean '0\.weight'"),
        (lambda: network.arrays({"0.weight": np.ones((6, 8))}), r"allowed is \(8, 6\)"),
        (lambda: network.tensors({"0.bias": 1}), r"0\.bias has shape \(\)"),
        (lambda: bench.to_torch(network, nn.Linear(6, 3)), r"it has no 0\.weight"),
        (lambda: bench.to_torch(network, made("residual")[0]), r"it has no 0\.weight"),
        (lambda: bench.to_torch(network, dense()), r"0\.weight has shape \(3, 6\)"),
        (
            lambda: bench.to_torch(bench.make("architecture", "mlp", sizes=[6, 3]), module),
            "made by bench.from_torch",
        ),
    ]:
        with pytest.raises(InputError, match=said):
            call()


def test_without_pytorch_it_is_asked_for(monkeypatch):
    module, shape = made("dense")
    network = bench.from_torch(module, shape)
    monkeypatch.setitem(sys.modules, "torch", None)
    for call in (lambda: bench.from_torch(module), lambda: bench.to_torch(network, module)):
        with pytest.raises(InputError, match="PyTorch is not installed"):
            call()


def test_the_module_is_left_as_it_was():
    module, shape = made("residual")
    before = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    network = bench.from_torch(module, shape)
    network.parameters["fc.bias"][:] = 7
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from plausibench import bench


@dataclass(frozen=True)
class SmallNet(bench.TorchArchitecture):
    shape: tuple[int, ...] = (8, 8)
    outputs: int = 10
    width: int = 2

    summary: ClassVar[str] = "a convolution and averages"

    def module(self):
        channels = self.shape[2] if len(self.shape) > 2 else 1
        return nn.Sequential(
            nn.Conv2d(channels, self.width, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(self.width * 16, self.outputs),
        )
"""


@pytest.fixture
def small_net(tmp_path):
    file = tmp_path / "small_net.py"
    file.write_text(PLUGIN)
    bench.load_plugin(file)
    yield file
    registry._PLUGINS["architecture"].pop("small_net", None)


def test_a_module_is_an_architecture(small_net):
    state = torch.get_rng_state()
    first, again, other = (
        bench.make("architecture", "small_net", width=3, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert first.architecture == "small_net"
    assert first.inputs == 64
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
        assert not np.array_equal(array, other.parameters[name])
    assert select("architecture", "small_net[width=4]").make().parameters["0.weight"].shape[0] == 4


def test_a_new_architecture_starts_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    monkeypatch.chdir(tmp_path)

    def call(*words):
        done = CliRunner().invoke(main, words)
        return done.exit_code, done.output

    code, output = call("new-architecture", "my_net")
    assert code == 0
    assert "plausibench show my_net --plugin my_net.py" in output
    code, output = call("new-architecture", "my_net")
    assert code == 2
    assert "is there already" in output
    code, output = call("show", "my_net", "--plugin", "my_net.py")
    assert code == 0
    assert "starts        my_net (64-512-10) on digits" in output
    network = bench.make("architecture", "my_net", width=2)
    assert network.parameters["4.weight"].shape == (10, 8)
    for words, said in [
        (("my_net",), "is taken by an architecture"),
        (("mlp",), "is taken by an architecture"),
        (("MyNet",), "such as 'my_net'"),
    ]:
        code, output = call("new-architecture", *words)
        assert code == 2
        assert said in " ".join(output.split())
