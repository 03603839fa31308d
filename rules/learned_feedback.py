"""Learned feedback: weights that predict what node perturbation says about the layer below."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.layers import wired
from plausibench.rules.random_feedback import LayerwiseFeedback, learned, returned, symmetric
from plausibench.rules.rule import RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class LearnedFeedback(LayerwiseFeedback):
    """Feedback learned by node perturbation (Lansdell, Prakash & Kording 2020).

    The weights learn by feedback alignment through B. Noise xi on the activity of hidden
    neurons says, for every example, ``lambda = xi (F(+sigma xi) - F) / sigma``, an unbiased and
    noisy signal; B is its ridge regression on the signals above, over all steps so far.

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name, and for each of their sources the sums of the regression.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    sigma
        Standard deviation of the noise.
    ridge
        Weight of the first B in the regression, as a sum of squared signals (0.1 in the code
        of the paper).
    """

    sigma: float = 1e-2
    ridge: float = 0.1

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"ridge": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights regress node perturbation's signal on the errors above",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B_(l+1) minimises sum |B_(l+1) post_(l+1) - xi_l (F(+sigma xi) - F) / sigma|^2"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="after many examples, as sigma -> 0: the error falls as their number^(-1/2)",
        variance_law="0 for given B; over the first B that of a product of random matrices",
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; a feedback synapse knows its "
            "error above, the noise of its neuron and one global scalar for each example"
        ),
        forward_passes=4.0,
        cites="Lansdell, Prakash & Kording 2020",
        notes=(
            "the regression is solved exactly, and is not local; where the errors above fill a "
            "subspace, as below a softmax, B is learned there only, which is all that matters; "
            "deeper down the first errors above came through wrong B, and stay in the sums; "
            "each example has its own loss"
        ),
        unverified=(
            "feedback learned by gradient steps, as in the paper: here the regression is solved"
        ),
    )

    needs_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("sigma", self.sigma)
        positive("ridge", self.ridge)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.returning:
            if not p.synapse.separable:
                return f"learned_feedback regresses onto whole matrices, which {p.name} has not"
        return wired(network, "learned_feedback") or super().unsupported(network, objective)

    def initial_state(self, network: Network, seed: int) -> State:
        state = super().initial_state(network, seed)
        for population in network.hidden:
            first = [state[p.name] for p in network.outgoing[population.name]]
            if first:
                joined = np.concatenate(first, axis=1)
                state[f"{population.name}.products"] = self.ridge * joined
                square = self.ridge * np.eye(joined.shape[1], dtype=network.dtype)
                state[f"{population.name}.squares"] = square
        return state

    def state_axes(self, network: Network) -> Axes:
        """Sums over several populations above belong to none of them."""
        axes = super().state_axes(network)
        for population in network.hidden:
            above = network.outgoing[population.name]
            if len(above) == 1:
                axes[f"{population.name}.products"] = axes[above[0].name]
                axes[f"{population.name}.squares"] = (above[0].target,) * 2
        return axes

    def advance(self, state: State, step: Step) -> State:
        network, batch = step.network, step.batch
        clean = network.forward(batch.inputs)  # the weights have changed since the pass before
        error = step.objective.error(clean.output, batch.targets)
        signals = returned(network, clean, error, state)
        change, xi = self.perturbed(step, clean)
        new = dict(state)
        for population in network.hidden:
            above = network.outgoing[population.name]
            if not above:
                continue
            products, squares = (f"{population.name}.{name}" for name in ("products", "squares"))
            regressors = np.concatenate([signals[p.target] for p in above], axis=1)
            signal = change * xi[population.name]
            new[products] = state[products] + signal.T @ regressors
            new[squares] = state[squares] + regressors.T @ regressors
            joined = np.linalg.solve(new[squares], new[products].T).T
            ends = np.cumsum([p.synapse.factors[0] for p in above])[:-1]
            for p, matrix in zip(above, np.split(joined, ends, axis=1), strict=True):
                new[p.name] = np.ascontiguousarray(matrix)
        return new

    def perturbed(self, step: Step, clean: Activity) -> tuple[Array, dict[str, Array]]:
        """Change of each example's loss over sigma ``(B, 1)``, and the noise that made it."""
        network, batch, objective = step.network, step.batch, step.objective
        streams = {f"feedback.{p.name}": clean.activity[p.name] for p in network.hidden}
        drawn = step.noise.examples(streams)
        xi = {p.name: drawn[f"feedback.{p.name}"][0] for p in network.hidden}
        # Noise on an activity reaches what is above as noise on its drive.
        pushed: dict[str, Array] = {}
        for p in network.returning:
            part = p.synapse.drive(network.parameters[p.name], xi[p.source])[None]
            pushed[p.target] = pushed[p.target] + part if p.target in pushed else part
        passed = network.forward(
            batch.inputs, drive_noise=pushed, amplitude=self.sigma, clean=clean
        )
        before = objective.losses(clean.output, batch.targets)
        after = objective.losses(passed.output, batch.targets).reshape(before.shape)
        return ((after - before) / self.sigma)[:, None], xi

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "below the output, |B delta - W^T delta| as a power of n, 400 to 40 000",
                self._fall,
            ),
            Law("E |lambda - mean|^2 over (N + 1) |mean|^2, N hidden neurons", self._residual),
        )

    def _fall(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, sigma=1e-3)
        at = replace(at, rule=rule, batch=_repeated(at.batch, 400))
        steps = (1, 10, 100)
        errors = np.zeros(len(steps))
        for seed in range(10):
            start = rule.initial_state(at.network, seed)
            here = replace(at, state=start, seed=seed)
            errors += [_distance(here, learned(here, number)) for number in steps]
        power = np.polyfit(np.log(steps), np.log(errors) / 2, 1)[0]
        return float(power), -0.5, 0.1

    def _residual(self, at: Situation) -> tuple[float, float, float]:
        """Of one example; the noise is gaussian and all hidden neurons have it at once."""
        rule = replace(self, sigma=1e-4)
        batch, network = _repeated(at.batch.take([0]), 100_000), at.network
        clean, noise = network.forward(batch.inputs), replace(at, batch=batch).noise()
        step = Step(network, at.objective, batch, clean, {}, 0.0, noise)
        change, xi = rule.perturbed(step, clean)
        error = at.objective.error(clean.output[:1], batch.targets[:1])
        one = network.forward(batch.inputs[:1])
        signals = network.credit(one, {network.output.name: error})
        found = expected = 0.0
        for population in network.hidden:
            mean = sum(
                p.synapse.feedback(network.parameters[p.name], signals[p.target])
                for p in network.outgoing[population.name]
            )
            found += float(((change * xi[population.name] - mean) ** 2).sum(axis=1).mean())
            expected += float(np.sum(mean**2))
        neurons = sum(population.size for population in network.hidden)
        return found / ((neurons + 1) * expected), 1.0, 0.05


def _repeated(batch: Batch, examples: int) -> Batch:
    """The examples again and again, each time with keys of their own."""
    rows = np.arange(examples) % batch.size
    return Batch(batch.inputs[rows], batch.targets[rows], np.arange(examples))


def _distance(at: Situation, state: State) -> float:
    """Squared distance between what B and W^T return from the output, over that of W^T."""
    network, batch = at.network, at.batch
    clean = network.forward(batch.inputs)
    error = at.objective.error(clean.output, batch.targets)
    signals = network.credit(clean, {network.output.name: error})
    apart = length = 0.0
    for p in network.incoming[network.output.name]:
        if p not in network.returning:
            continue
        right = p.synapse.feedback(network.parameters[p.name], signals[p.target])
        ours = p.synapse.feedback(p.synapse.untranspose(state[p.name]), signals[p.target])
        apart += float(np.sum((ours - right) ** 2))
        length += float(np.sum(right**2))
    return apart / length
