"""Binary cross-entropy: its twin, torch's, and targets that are refused."""

import numpy as np
import pytest
from scipy.special import expit

from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.objectives.binary_cross_entropy import BinaryCrossEntropy

GENERATOR = np.random.default_rng(0)
OUTPUT = 3 * GENERATOR.standard_normal((2, 5, 4))
CLASSES = np.array([0, 3, 1, 2, 3])
SHARES = GENERATOR.uniform(size=(5, 4))


def twin(output, targets):
    """Loss and error of one example, output by output, from the probabilities."""
    loss, error = 0.0, []
    for drive, target in zip(output, targets, strict=True):
        chance = 1 / (1 + np.exp(-drive))
        loss -= target * np.log(chance) + (1 - target) * np.log(1 - chance)
        error.append(chance - target)
    return loss, error


@pytest.mark.parametrize("targets", [CLASSES, SHARES], ids=["classes", "shares"])
def test_twin(targets):
    objective = BinaryCrossEntropy()
    losses, errors = objective.losses(OUTPUT, targets), objective.error(OUTPUT, targets)
    rows = np.eye(4)[targets] if targets.ndim == 1 else targets
    for sample in range(2):
        for example in range(5):
            loss, error = twin(OUTPUT[sample, example], rows[example])
            assert losses[sample, example] == pytest.approx(loss, rel=1e-12)
            np.testing.assert_allclose(errors[sample, example], error, rtol=1e-12)


def test_torch():
    torch = pytest.importorskip("torch")
    output = torch.tensor(OUTPUT[0], requires_grad=True)
    goal = torch.nn.BCEWithLogitsLoss(reduction="sum")(output, torch.tensor(SHARES))
    goal.backward()
    objective = BinaryCrossEntropy()
    assert objective.losses(OUTPUT[0], SHARES).sum() == pytest.approx(goal.item(), rel=1e-12)
    np.testing.assert_allclose(objective.error(OUTPUT[0], SHARES), output.grad, rtol=1e-12)


def test_certain_outputs_keep_their_digits():
    objective, drive = BinaryCrossEntropy(), np.array([[-800.0, 40.0]])
    losses = objective.losses(drive, np.array([[0.0, 1.0]]))
    assert losses[0] == pytest.approx(np.exp(-40), rel=1e-12)
    error = objective.error(drive, np.array([[1.0, 0.5]]))
    np.testing.assert_allclose(error, [[-1.0, 0.5]], rtol=1e-12)


def test_one_output_is_logistic_regression():
    network = bench.make("architecture", "mlp", sizes=[3, 1])
    inputs, targets = GENERATOR.standard_normal((6, 3)), GENERATOR.integers(0, 2, 6)
    batch = bench.Batch(inputs, targets[:, None].astype(float))
    (weights, bias) = network.parameters.values()
    residual = expit(inputs @ weights[0] + bias) - targets
    found = bench.gradient(network, BinaryCrossEntropy(), batch)
    expected = [residual @ inputs / 6, residual.mean()]
    for array, goal in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(array[0], goal, rtol=1e-12)


@pytest.mark.parametrize("targets", [[[0.5, 1.5]], [[-0.5, 1.0]]])
def test_what_is_no_probability_is_refused(targets):
    network = bench.make("architecture", "mlp", sizes=[3, 2])
    batch = bench.Batch(np.ones((1, 3)), np.array(targets))
    with pytest.raises(InputError, match=r"^targets: (1|-0).5 .*a number from 0 to 1"):
        bench.loss(network, BinaryCrossEntropy(), batch)
