"""Three factors: a delayed global scalar meets traces of noise times presynaptic activity."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import InputError, choose, integer, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective, in_rows
from plausibench.rules.companions import floors, in_float64
from plausibench.rules.estimate import Estimates, by_example, form, outers, per_row
from plausibench.rules.layers import in_double
from plausibench.rules.noise import FOURTH_MOMENT, LAWS, Noise
from plausibench.rules.rule import Choices, ClosedForm, Companion, Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

BASELINES = ("clean", "running")


@dataclass(frozen=True)
class ThreeFactor(Rule):
    r"""Three-factor learning from injected noise (Legenstein et al. 2010; Miconi 2017).

    In a trial of T steps every step adds noise times presynaptic activity to the trace of a
    synapse, which decays by a factor from step to step. The scalar of step t, what the loss of
    that step exceeds the baseline by, over sigma, arrives some steps later:

    .. math:: \frac{1}{B \gamma^d} \sum_b \sum_t M_{tb}\, e_{t+d,b},
              \qquad e_t = \gamma\, e_{t-1} + \xi_t a_t^T.

    After the trial traces only decay, and the next one begins without any: what trials leave to
    each other is in neither paper. What a step does to losses s steps later is then learned
    gamma^s times: with gamma = 1 as in node perturbation, with less a gradient that looks ahead
    for 1 / (1 - gamma) steps or so. Without time a trial is one step, neither delay nor decay
    change anything, and this is node perturbation.

    Parameters
    ----------
    sigma
        Standard deviation of the noise.
    noise
        Law of the noise: gaussian or rademacher.
    delay
        Steps between activity and its scalar.
    decay
        Factor gamma of the trace from step to step; above 0 where there is a delay.
    baseline
        The loss without noise (``clean``), or a running mean of the loss (``running``; the
        state holds it under ``baseline``).
    rate
        Share of the running mean that a step of learning replaces.
    """

    sigma: float = 1e-3
    noise: str = "gaussian"
    delay: int = 0
    decay: float = 0.5
    baseline: str = "clean"
    rate: float = 0.1

    choices: ClassVar[Choices] = {"noise": LAWS, "baseline": BASELINES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="a delayed global scalar times a decaying trace of noise times pre",
        family="perturbation",
        equation=(
            "sum_t M_t e_(t+d) / (B gamma^d),  e_t = gamma e_(t-1) + xi_t a_t^T,  "
            "M_t = (F_t(+sigma xi) - baseline) / sigma; without time xi M a^T / B"
        ),
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when=(
            "in expectation as sigma -> 0; in networks with time only if decay = 1 besides: with "
            "less, as by default, it is biased there"
        ),
        bias_order=2,
        variance_law=(
            "that of node perturbation; in time sum_s |a_s|^2 N_l |D_s|^2 and pairs of steps, "
            "D_s = sum_t K_ts dF_t/du, K_ts = gamma^(t-s) for s <= t + d"
        ),
        synapse_knows=(
            "a trace of pre times the noise of its neuron, one global scalar for each step whose "
            "loss counts"
        ),
        forward_passes=2.0,
        no_more_than_readout=(
            "on digits after 500 steps: outside time it is node perturbation, and one outcome "
            "for all neurons in a step is mostly noise, which so few steps do not average out"
        ),
        cites="Legenstein, Chase, Schwartz & Maass 2010; Miconi 2017",
        notes=(
            "a running baseline adds ((F - baseline) / sigma)^2 to the squares of the scalars, "
            "which dominates for small sigma; the noise is injected and known to the synapse, not "
            "read from fluctuations about a running mean of activity; in time a trace that decays "
            "(decay < 1) discounts what comes later, which is a bias. Its noise is that of one "
            "side of the perturbation: many steps are needed before hidden layers learn"
        ),
        phases="a noisy pass and one without, then the outcomes, each after its delay",
        unverified=(
            "fluctuations told from a running mean of activity (Miconi 2017), which adds a bias"
        ),
    )

    needs_losses: ClassVar[bool] = True
    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward", "recurrent"})

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        choose("noise", self.noise, LAWS)
        integer("delay", self.delay, least=0)
        number("decay", self.decay, least=0, most=1)
        if self.delay and not self.decay:
            raise InputError("decay: 0 leaves no trace for a delayed scalar; allowed is above 0")
        choose("baseline", self.baseline, BASELINES)
        number("rate", self.rate, above=0, most=1)

    def initial_state(self, network: Network, seed: int) -> State:
        return {"baseline": np.zeros(1)} if self.baseline == "running" else {}

    def state_axes(self, network: Network) -> Axes:
        return {"baseline": (None,)}

    def advance(self, state: State, step: Step) -> State:
        if self.baseline == "clean":
            return state
        loss = step.objective.batch_loss(step.clean.output, step.batch)
        return {"baseline": (1 - self.rate) * state["baseline"] + self.rate * loss}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        xi = noise.examples(clean.drive, self.noise)
        passed = network.forward(batch.inputs, drive_noise=xi, amplitude=self.sigma, clean=clean)
        scalar = self._scalars(objective, batch, passed, clean, state) / self.sigma
        rows = self._traced(network, batch, scalar)
        for drawn in xi.values():
            drawn *= rows.astype(network.dtype)  # in place: the noise has done its work
        return outers(network, clean, xi)

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """The slope of the losses along the noise in place of their change, and its even part."""
        double, wide, passed = in_double(network, batch, clean)
        error = objective.batch_error(passed.output, wide)

        def scalar(noise: Mapping[str, Array], amplitude: float) -> Array:
            noisy = network.forward(
                batch.inputs, drive_noise=noise, amplitude=amplitude, clean=clean
            )
            return self._scalars(objective, batch, noisy, clean, state)

        def traced(scalars: Array, xi: Mapping[str, Array]) -> Estimates:
            rows = self._traced(network, batch, scalars)
            return outers(network, clean, {name: rows * drawn for name, drawn in xi.items()})

        def estimate(noise: Noise) -> Estimates:
            xi = in_float64(noise.examples(clean.drive, self.noise))
            change = (error * double.tangent(passed, drive=xi).output).sum(axis=-1)
            # The error is that of the batch's mean.
            return traced(batch.size * change.reshape(len(change), -1, batch.size), xi)

        def odd(noise: Noise) -> Estimates:
            xi = noise.examples(clean.drive, self.noise)
            even = scalar(xi, self.sigma) + scalar(xi, -self.sigma)
            return traced(even / (2 * self.sigma), xi)

        if network.dynamics == "recurrent":
            signals = self._own(self._due(double, wide, passed, error))
        else:
            signals = double.credit(passed, {double.output.name: error})
        mean = in_float64(form(network, outers(network, clean, signals)))
        floor = floors(network, objective, batch, clean, signals, self.sigma)
        plain = replace(self, baseline="clean")
        known = plain.closed_form(network, objective, batch, clean, self.randomness())
        return Companion(estimate, mean, None if known is None else known.variance, floor, odd)

    def _traced(self, network: Network, batch: Batch, scalar: Array) -> Array:
        """What the noise of every row is multiplied by, ``(..., T B, 1)``, once scalars arrived."""
        credited = self._credited(scalar.shape[-2])
        weight = np.einsum("...tb,ts->...sb", scalar, credited)
        return weight.reshape(*weight.shape[:-2], -1, 1) / batch.size

    def _scalars(
        self, objective: Objective, batch: Batch, passed: Activity, clean: Activity, state: State
    ) -> Array:
        """Losses above the baseline, ``(..., T, B)``: of every step, as it counts for its trial."""
        targets, weights = in_rows(passed.output, objective.in_time(batch))
        losses = objective.losses(passed.output, targets)
        if self.baseline == "clean":
            above = losses - objective.losses(clean.output, targets)
        else:
            above = losses - state["baseline"][0]
        above = above.reshape(*above.shape[:-1], -1, batch.size)
        return above if weights is None else above * weights

    def _credited(self, steps: int) -> Array:
        """K ``(T, T)``: share of step s in the trace when the scalar of t arrives.

        Relative to that of t itself.
        """
        later = np.arange(steps)[:, None] - np.arange(steps)
        if self.decay == 0:
            return np.eye(steps)
        # The power of a step far in the future, not in the trace yet, could overflow.
        power = np.maximum(later, -self.delay)
        return np.where(later >= -self.delay, float(self.decay) ** power, 0.0)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Limit sigma -> 0 with the clean baseline; the running one has no such limit.

        None is known where the noise of neurons reaches a parameter through others.
        """
        if self.baseline == "running" or network.paths != network.projections:
            return None
        if network.dynamics == "recurrent":
            return self._law_in_time(network, objective, batch, clean)
        error = objective.batch_error(clean.output, batch)
        signals = network.credit(clean, {network.output.name: error})
        lengths = {name: (signal**2).sum(axis=-1) for name, signal in signals.items()}
        total = sum(lengths.values())
        excess = FOURTH_MOMENT[self.noise] - 2
        variance = {}
        for p in network.projections:
            gram, signal = p.synapse.pre_gram(clean.presynaptic(p)), signals[p.target]
            each = signal.shape[-1] * total + excess * lengths[p.target]
            variance[p.name] = float(np.diagonal(gram) @ each)
        return ClosedForm(form(network, outers(network, clean, signals)), variance)

    def _law_in_time(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> ClosedForm:
        """Mean and variance of ``sum_s (D_s . xi) xi_s a_s^T`` for each trial.

        ``D_s = sum_t K_ts dF_t/du`` is the derivative, by all drives of all steps, of the losses
        whose scalars find step s in the trace. Two steps s and r of a trial share
        ``(a_s . a_r) (D_s at r) . (D_r at s)``.
        """
        due = self._due(network, batch, clean, objective.batch_error(clean.output, batch))
        size = batch.size
        total = sum((part**2).sum(axis=(1, 3)) for part in due.values())
        own = self._own(due)
        variance = {}
        for p in network.projections:
            part, at_once = due[p.target], own[p.target]
            gram = p.synapse.pre_gram(by_example(clean.presynaptic(p), size))
            excess = FOURTH_MOMENT[self.noise] - 3
            steps = at_once.reshape(-1, size, part.shape[-1])
            each = part.shape[-1] * total + excess * (steps**2).sum(axis=-1)
            shared = gram * np.einsum("srbn,rsbn->bsr", part, part)
            variance[p.name] = float((np.einsum("bss->sb", gram) * each).sum() + shared.sum())
        return ClosedForm(form(network, outers(network, clean, own)), variance)

    def _due(
        self, network: Network, batch: Batch, clean: Activity, error: Array
    ) -> dict[str, Array]:
        """``D_s`` at every step r, ``(S, R, B, N)``: derivatives of the losses that find s."""
        size = batch.size
        steps = len(error) // size
        credited = self._credited(steps)
        # A sample for each step whose loss counts alone.
        apart = np.zeros((steps, steps, size, error.shape[-1]))
        apart[np.arange(steps), np.arange(steps)] = error.reshape(steps, size, -1)
        signals = network.credit(clean, {network.output.name: apart.reshape(steps, *error.shape)})
        return {
            name: np.tensordot(credited, signal.reshape(steps, steps, size, -1), axes=(0, 0))
            for name, signal in signals.items()
        }

    def _own(self, due: Mapping[str, Array]) -> dict[str, Array]:
        """Derivatives by the drives of the step itself, a row for each step and example."""
        return {
            name: np.einsum("ssbn->sbn", part).reshape(-1, part.shape[-1])
            for name, part in due.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        def plain(at: Situation) -> Situation:
            if at.network.dynamics == "recurrent":
                steps = at.network.forward(at.batch.inputs).output.shape[-2] // at.batch.size
                rule = replace(self, sigma=1e-3, delay=steps, decay=1.0, baseline="clean")
            else:
                rule = replace(self, sigma=1e-3, baseline="clean")
            return replace(at, rule=rule)

        delayed = replace(self, sigma=1e-3, delay=2, decay=0.7, baseline="clean")
        return (
            Limit(
                "without time, or with all of the trial in the trace: one-sided node perturbation "
                "with the same noise",
                plain,
                tolerance=1e-12,
                expected=_node_perturbation,
            ),
            Law("variance over its closed form, delay 2 and decay 0.7", _variance(delayed)),
            Law(
                "in time, decay 0.5: deviation of the mean from the gradient, along that of the "
                "closed form and in its lengths",
                _bias_in_time(replace(self, sigma=1e-3, delay=1, decay=0.5, baseline="clean")),
            ),
        )


def _node_perturbation(at: Situation) -> dict[str, Array]:
    """Each example's change of loss times its noise times presynaptic activity."""
    network, batch, rule = at.network, at.batch, at.rule
    assert isinstance(rule, ThreeFactor)
    clean = network.forward(batch.inputs)
    xi = at.noise().examples(clean.drive, rule.noise)
    passed = network.forward(batch.inputs, drive_noise=xi, amplitude=rule.sigma, clean=clean)
    before, after = (at.objective.batch_losses(a.output, batch) for a in (clean, passed))
    change = (after - before)[0] / (rule.sigma * batch.size)
    signals = {name: per_row(change, array[0]) * array[0] for name, array in xi.items()}
    return form(network, outers(network, clean, signals))


def _variance(rule: ThreeFactor) -> Callable[[Situation], tuple[float, float, float]]:
    def measure(at: Situation) -> tuple[float, float, float]:
        clean = at.network.forward(at.batch.inputs)
        law = rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
        if law is None:
            raise InputError("there is no closed form of this network")
        draws = replace(at, rule=rule).draws(20_000)
        found = sum(float(array.var(axis=0, ddof=1).sum()) for array in draws.values())
        return found / sum(law.variance.values()), 1.0, 0.05

    return measure


def _bias_in_time(rule: ThreeFactor) -> Callable[[Situation], tuple[float, float, float]]:
    """1 if the mean is that of the closed form, 0 if it is the gradient, within 4 standard errors.

    Claimed where these tell 0 from 1.
    """

    def measure(at: Situation) -> tuple[float, float, float]:
        if at.network.dynamics != "recurrent":
            raise InputError("the rule has no bias without time")
        clean = at.network.forward(at.batch.inputs)
        law = rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
        if law is None:
            raise InputError("there is no closed form of this network")
        exact, draws = at.reference(), replace(at, rule=rule).draws(20_000)
        away = {name: law.mean[name] - g for name, g in exact.items()}
        along = sum(
            (draws[name] - g).reshape(len(draws[name]), -1) @ away[name].reshape(-1)
            for name, g in exact.items()
        )
        along = along / sum(float((array**2).sum()) for array in away.values())
        allowed = 4 * float(along.std(ddof=1)) / len(along) ** 0.5
        if not allowed < 0.5:
            raise InputError("the bias is too small to be seen in this noise")
        return float(along.mean()), 1.0, allowed

    return measure
