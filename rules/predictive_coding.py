"""Predictive coding: value neurons relax until errors of prediction carry the gradient."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.chain import (
    by_layer,
    is_plain,
    layout,
    receivers,
    senders,
    side_by_side,
)
from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network
from plausibench.kernels.errors import Divergence, InputError, choose, flag, integer, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates, Outer
from plausibench.rules.fixed_point import fixed_point
from plausibench.rules.layers import gated, in_double, no_chain, representable
from plausibench.rules.linear_chain import linear_chain
from plausibench.rules.noise import Noise
from plausibench.rules.relaxation import relax
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation, Slope, differences_of
from plausibench.rules.value_descent import ValueDescent

Array = np.ndarray
Arrays = dict[str, Array]

REST, TURNS = 1e-11, 200
"""Largest change of errors at rest, relative to the largest error, and number of turns."""
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Change of errors that rounding of the values alone can make, relative to the largest value
times the nudge: errors at the output are differences of activity and target."""

ENERGY: Mapping[str, Any] = {
    "values": "drives",
    "output": "clamped",
    "precision": 1.0,
    "reduction": "sum",
}
"""Options that say which energy strict values descend, as in the paper."""

STRICT = RuleCard(
    summary="values relax with the output clamped; errors of prediction drive plasticity",
    family="energies",
    equation="dv_l = -e_l + f'(v_l) (W_(l+1)^T e_(l+1)),  post_l = -e_l,  pre_l = f(v_(l-1))",
    randomness=frozenset(),
    unbiased=False,
    exact_when="the output layer alone: no hidden layer",
    variance_law="0 for a given batch",
    synapse_knows="pre, error of its neuron; values need the transposed weights above",
    expected=("low", "low"),
    questioned=True,
    forward_passes=200.0,
    cites="Whittington & Bogacz 2017",
    notes=(
        "v_l are drives, so layer 1 sees the inputs themselves. The output is clamped to "
        "z_L - dF/dz_L of the clean pass: the target for the squared error of a linear output, one "
        "gradient step on the output's drive otherwise. In a linear network at equilibrium the "
        "estimate is the gradient of 1/2 r^T S^-1 r, r the residual and "
        "S = I + sum_(l>=2) W_(L:l) W_(L:l)^T: a bias by design. The energy is summed over "
        "examples: each relaxes by its own loss, whatever the size of the batch. Code that "
        "averages the loss at the output over a batch of B weighs its errors by 1 / B against "
        "those of hidden layers, and tends to backpropagation: bias^2 falls about as 1 / B^2 "
        "(cross-entropy on digits, 64-32-32-10 at initialisation, at rest: 0.12, 0.017, 0.0021, "
        "0.0002 at B = 1, 4, 16, 64), which is output=loss,reduction=mean here. The rate that a "
        "search from one seed finds best lies at the edge of stability"
    ),
    unverified=(
        "learned precisions; learning rates halved when the energy rises (prospective "
        "configuration)"
    ),
)
VALUES = ("drives", "activities")
OUTPUTS = ("clamped", "loss")
REDUCTIONS = ("sum", "mean")

CARDS = {
    "strict": STRICT,
    "fixed_prediction": replace(
        STRICT,
        summary="errors relax around predictions that stay those of the forward pass",
        equation="e_l <- (1 - step) e_l + step f'(z_l) (W_(l+1)^T e_(l+1)),  e_L = -delta_L",
        exact_when="step 1 for as many sweeps as layers; any step after enough sweeps",
        forward_passes=5.0,
        cites="Whittington & Bogacz 2017; Millidge, Tschantz & Buckley 2022; Rosenbaum 2022",
        notes="the exact limit is backpropagation, spread over sweeps",
    ),
    "zero_divergence": replace(
        STRICT,
        summary="each layer learns at the moment that the error first reaches it",
        equation="post_l = -e_l after L - l steps from the forward pass,  pre_l = a_(l-1)",
        exact_when="step 1; else layer l has the factor step^(L-l)",
        forward_passes=7.0,
        cites="Song, Lukasiewicz, Xu & Bogacz 2020",
        notes="the output is clamped to z_L - dF/dz_L of the clean pass",
    ),
    "nudged": replace(
        STRICT,
        summary="values relax with the output nudged down the loss, errors scaled by the nudge",
        equation="dv_L = -e_L - nudging dF/dv_L,  post_l = -e_l / nudging,  pre_l = f(v_(l-1))",
        unbiased=True,
        exact_when="at equilibrium, in the limit nudging -> 0",
        bias_order=1,
        forward_passes=50.0,
        cites="Whittington & Bogacz 2017; Millidge, Song, Salvatori, Lukasiewicz & Bogacz 2022",
        notes="a large variance 1 / nudging of the output neurons is the same limit",
    ),
}


@dataclass(frozen=True)
class PredictiveCoding(Rule):
    r"""Predictive coding (Whittington & Bogacz 2017) and its variants.

    Every neuron has a value :math:`v_l`, in units of its drive, and an error
    :math:`\epsilon_l = v_l - W_l f(v_{l-1}) - b_l`. From the forward pass, where all errors are
    zero, values descend the energy :math:`\sum_l \tfrac12 |\epsilon_l|^2`, by Euler steps

    .. math:: \Delta v_l = \eta (-\epsilon_l + f'(v_l) \odot W_{l+1}^T \epsilon_{l+1}),

    and weights then descend it too: :math:`-\epsilon_l f(v_{l-1})^T`.

    Parameters
    ----------
    variant
        strict: the output is clamped. fixed_prediction: the same, with predictions and slopes
        frozen at the forward pass. zero_divergence: clamped, and layer l learns after L - l
        steps. nudged: the loss, times ``nudging``, is added to the energy instead.
    step
        Length of an Euler step; by default 0.1 for strict, 1 for fixed_prediction and
        zero_divergence, as in the published code.
    steps
        Number of steps; by default 100 for strict, the number of layers for fixed_prediction.
        Zero_divergence has none. Without step and steps nudged values are found at rest, where
        alone the variant is exact; with one of them they take Euler steps, 1000 of length 0.1
        if the other is not given.
    nudging
        Weight of the loss in the energy of the nudged variant.
    symmetric
        Whether the nudged variant takes the mean with the opposite nudge, which leaves a bias
        of second order.
    values
        What values of the strict variant are: drives, or activities, with errors
        ``v_l - f(W_l v_(l-1) + b_l)``; code whose modules are a layer with its activation has
        these.
    output
        What the strict variant does at the output: clamped, or loss, where the derivative of the
        loss at the output that values predict is its error, anew in each step.
    precision
        Weight of the output's term in the energy of the strict variant. The estimate is divided
        by it.
    reduction
        sum: the energy has the sum of the losses of all examples. mean: their mean, as in code
        that calls an averaged loss, which divides the precision by the size of the batch.
    """

    variant: str = "strict"
    step: float | None = None
    steps: int | None = None
    nudging: float = 0.1
    symmetric: bool = False
    values: str = "drives"
    output: str = "clamped"
    precision: float = 1.0
    reduction: str = "sum"

    double: ClassVar[bool] = True
    choices: ClassVar[Choices] = {
        "variant": tuple(CARDS),
        "values": VALUES,
        "output": OUTPUTS,
        "reduction": REDUCTIONS,
    }

    card: ClassVar[RuleCard] = STRICT

    def __post_init__(self) -> None:
        choose("variant", self.variant, CARDS)
        if self.step is not None:
            positive("step", self.step)
        if self.steps is not None:
            integer("steps", self.steps, least=1)
        if self.variant == "zero_divergence" and self.steps is not None:
            raise InputError("steps: zero_divergence takes one step per layer; leave steps out")
        positive("nudging", self.nudging)
        flag("symmetric", self.symmetric)
        if self.symmetric and self.variant != "nudged":
            raise InputError(f"symmetric: {self.variant} has no nudge; allowed is false")
        self._check_energy()
        card = CARDS[self.variant]
        if self.variant in ("fixed_prediction", "zero_divergence"):
            exact = self.step in (None, 1) and self.steps is None
            card = replace(card, unbiased=exact)
        elif self.symmetric:
            card = replace(card, bias_order=2, forward_passes=2 * card.forward_passes)
        # The variants are as unlike in what they claim as rules are.
        object.__setattr__(self, "card", card)

    def _check_energy(self) -> None:
        choose("values", self.values, VALUES)
        choose("output", self.output, OUTPUTS)
        positive("precision", self.precision)
        choose("reduction", self.reduction, REDUCTIONS)
        for field, default in ENERGY.items():
            if self.variant != "strict" and getattr(self, field) != default:
                raise InputError(
                    f"{field}: {self.variant} has one energy; allowed is {default}; variant=strict "
                    "has others"
                )

    @property
    def _plain(self) -> bool:
        """Whether the energy is that of the paper."""
        return all(getattr(self, field) == default for field, default in ENERGY.items())

    @property
    def _step(self) -> float:
        relaxes = self.variant in ("strict", "nudged")
        return (0.1 if relaxes else 1.0) if self.step is None else self.step

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if self.variant == "zero_divergence":
            return no_chain(network, "predictive_coding[variant=zero_divergence]")
        return gated(network, "predictive_coding")

    def signal_share(self, network: Network) -> float:
        """Values that take Euler steps move by the weight of the output's term.

        At rest errors are found themselves.
        """
        if self.variant == "strict":
            return min(1.0, self.precision)
        steps = self.variant == "nudged" and not (self.step is None and self.steps is None)
        return min(1.0, self.nudging) if steps else 1.0

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from the errors after relaxation.

        Raises
        ------
        Divergence
            If values overflow: the step is too long.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        if self.variant == "nudged" and self.symmetric:
            both = [self._nudged(network, objective, batch, clean, sign) for sign in (1, -1)]
            return {
                p.name: Dense(
                    np.mean([p.synapse.outer(*one[p.name]) for one in both], axis=0, dtype=dtype)
                )
                for p in network.projections
            }
        find = {
            "strict": self._strict,
            "fixed_prediction": self._fixed_prediction,
            "zero_divergence": self._zero_divergence,
            "nudged": self._nudged,
        }[self.variant]
        factors = find(network, objective, batch, clean)
        if not representable((f for pair in factors.values() for f in pair), batch.size, dtype):
            raise Divergence("predictive_coding: values grow without end; take a shorter step")
        return {
            name: Outer(post.astype(dtype, copy=False), pre.astype(dtype, copy=False))
            for name, (post, pre) in factors.items()
        }

    def _strict(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, tuple[Array, Array]]:
        if not self._plain:
            return self._weighed(network, objective, batch, clean)
        values, steps = _clamped(network, objective, batch, clean), self.steps or 100
        if is_plain(network):
            found = _finite(*_relaxed(network, clean, values, self._step, steps))
        else:
            found = _after(relaxation(network, clean, values, self._step), steps)
        return _factors(network, *found, -1 / batch.size)

    def _weighed(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, tuple[Array, Array]]:
        """Strict, with another energy than that of the paper."""
        weight = self.precision / (batch.size if self.reduction == "mean" else 1)
        activities, loss = self.values == "activities", self.output == "loss"
        descent = ValueDescent(network, objective, batch, clean, weight, activities, loss)
        values = descent.start()
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps or 100):
                values = descent.moved(values, self._step)
            found = _finite(*descent.errors(values)[1:])
        return _factors(network, *found, -1 / (weight * batch.size))

    def _nudged(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        sign: int = 1,
    ) -> dict[str, tuple[Array, Array]]:
        top, nudging = network.output, sign * self.nudging

        def push(value: Array, activity: Array) -> Array:
            error = objective.error(activity, batch.targets)
            return -nudging * top.neurons.adjoint(value, activity, error)

        if self.step is None and self.steps is None:
            found = equilibrium(network, objective, batch, clean, nudging)
        else:
            moments = relaxation(network, clean, dict(clean.drive), self._step, push)
            found = _after(moments, self.steps or 1000)
        return _factors(network, *found, -1 / (nudging * batch.size))

    def _zero_divergence(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, tuple[Array, Array]]:
        values = _clamped(network, objective, batch, clean)
        moments = relaxation(network, clean, values, self._step)
        found: dict[str, tuple[Array, Array]] = {}
        for population, moment in zip(reversed(network.populations), moments, strict=False):
            now = _factors(network, *moment, -1 / batch.size)
            found |= {p.name: now[p.name] for p in network.incoming[population.name]}
        return found

    def _fixed_prediction(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, tuple[Array, Array]]:
        top, step = network.output.name, self._step
        error = {name: np.zeros_like(drive) for name, drive in clean.drive.items()}
        error[top] = _clamped(network, objective, batch, clean)[top] - clean.drive[top]
        for _ in range(self.steps or len(network.populations)):
            pull = pulled(network, clean.drive, clean.activity, error)
            for population in network.hidden:
                name = population.name
                error[name] = (1 - step) * error[name] + step * pull[name]
        return _factors(network, error, clean.activity, -1 / batch.size)

    def theory(self) -> tuple[Claim, ...]:
        def having(**options: Any) -> Rule:
            return replace(self, **options)

        if self.variant == "fixed_prediction":

            def slow(at: Situation) -> Situation:
                return replace(at, rule=having(step=0.1, steps=400))

            return (
                Limit(
                    "step 1, as many sweeps as layers: backpropagation",
                    lambda at: replace(at, rule=having(step=1.0, steps=None)),
                    tolerance=1e-13,
                ),
                Limit("step 0.1, 400 sweeps: backpropagation", slow, tolerance=1e-13),
            )
        if self.variant == "zero_divergence":

            def half(at: Situation) -> Situation:
                return replace(at, rule=having(step=0.5))

            def delayed(at: Situation) -> Arrays:
                names = [population.name for population in reversed(at.network.populations)]
                reference = at.reference()
                return {
                    p.name: 0.5 ** names.index(p.target) * reference[p.name]
                    for p in at.network.projections
                }

            return (
                Limit(
                    "step 1: backpropagation",
                    lambda at: replace(at, rule=having(step=1.0)),
                    tolerance=1e-13,
                ),
                Limit("step 1/2: layer l has the factor 2^(l-L)", half, 1e-13, delayed),
            )
        if self.variant == "nudged":

            def nudge(at: Situation, nudging: float) -> Situation:
                return replace(at, rule=having(nudging=nudging, step=None, steps=None))

            power, tolerance = (2, 1e-4) if self.symmetric else (1, 1e-2)
            return (Slope("nudging -> 0, at equilibrium", nudge, power, 1e-3, tolerance),)

        paper = replace(self, **ENERGY)

        def settled(at: Situation) -> Situation:
            rule = replace(paper, step=0.1, steps=4000)
            return replace(linear_chain(at, (5, 4, 4, 3)), rule=rule)

        def energy(at: Situation) -> tuple[float, float, float]:
            at = settled(at)
            clean = at.network.forward(at.batch.inputs)
            clamped = _clamped(at.network, at.objective, at.batch, clean)
            errors = _after(relaxation(at.network, clean, clamped, 0.1), 4000)[0]
            found = sum(0.5 * float((e**2).sum()) for e in errors.values()) / at.batch.size
            theory = equilibrium_energy(at.network, at.batch)
            return found, theory, 1e-11 * theory

        return (
            Limit(
                "linear network at equilibrium: gradient of 1/2 r^T S^-1 r",
                settled,
                tolerance=1e-7,
                expected=equilibrium_gradient,
            ),
            Law("linear network: energy at equilibrium 1/2 r^T S^-1 r", energy),
            Limit("clamped output: biased", self._in_the_paper, tolerance=0.01, holds=False),
            *self._weak_output(),
        )

    def _in_the_paper(self, at: Situation) -> Situation:
        return replace(at, rule=replace(self, **ENERGY))

    def _weak_output(self) -> tuple[Claim, ...]:
        """All other energies tend to backpropagation as the output weighs less."""

        def weak(at: Situation, weight: float, values: str, output: str) -> Situation:
            weak = {n: 0.5 * a for n, a in at.network.parameters.items()}
            energy: dict[str, Any] = {
                "values": values,
                "output": output,
                "precision": weight,
                "reduction": "sum",
            }
            rule = replace(self, step=0.2, steps=400, **energy)
            return replace(at, rule=rule, network=at.network.with_parameters(weak))

        return tuple(
            Slope(
                f"weak weights, {values}, output {output}, precision -> 0: backpropagation",
                partial(weak, values=values, output=output),
                power=1,
                smallest=1e-3,
                tolerance=1e-2,
            )
            for values in ("drives", "activities")
            for output in ("clamped", "loss")
        )


def relaxation(
    network: Network,
    clean: Activity,
    values: Mapping[str, Array],
    step: float,
    push: Callable[[Array, Array], Array] | None = None,
) -> Iterator[tuple[Arrays, Arrays]]:
    """Errors and activities now, after one Euler step, after two, and so on without end.

    Parameters
    ----------
    network, clean
        Gives the inputs.
    values
        Where the values start.
    step
        Length of a step.
    push
        Force on the output's value for its value and activity; without, the value is clamped.
    """
    values, top = dict(values), network.output.name
    outside = {name: clean.activity[name] for name in (INPUT, CONSTANT)}
    while True:
        activity = outside | {
            population.name: population.neurons.activate(values[population.name])
            for population in network.populations
        }
        errors = {
            name: values[name]
            - sum(
                p.synapse.drive(network.parameters[p.name], activity[p.source]) for p in projections
            )
            for name, projections in network.incoming.items()
        }
        yield errors, activity
        pull = pulled(network, values, activity, errors)
        if push is not None:
            pull[top] = push(values[top], activity[top])
        for name, force in pull.items():
            values[name] = values[name] + step * (force - errors[name])


def _relaxed(
    network: Network, clean: Activity, values: Arrays, step: float, steps: int
) -> tuple[Arrays, Arrays]:
    """Errors and activities of a plain chain with the output clamped, after a number of steps."""
    names, sizes, codes = layout(network)
    weights = [network.parameters[p.name] for p in network.returning]
    constant = {
        name: sum(
            (
                p.synapse.drive(network.parameters[p.name], clean.activity[p.source])
                for p in projections
                if p.source in (INPUT, CONSTANT)
            ),
            start=np.zeros(clean.drive[name].shape),
        )
        for name, projections in network.incoming.items()
    }
    shape = clean.output.shape[:-1]
    outside, v = side_by_side(constant, names, shape), side_by_side(values, names, shape)
    activity, errors = np.empty_like(v), np.empty_like(v)
    relax(
        sizes,
        codes,
        senders(weights, -1.0),
        receivers(weights),
        outside,
        step,
        steps,
        v,
        activity,
        errors,
    )
    outer = {name: clean.activity[name] for name in (INPUT, CONSTANT)}
    return by_layer(errors, names, sizes), outer | by_layer(activity, names, sizes)


def equilibrium(
    network: Network, objective: Objective, batch: Batch, clean: Activity, nudging: float
) -> tuple[Arrays, Arrays]:
    r"""Errors and activities where nudged values rest.

    There the errors are what the nudge sends back through the network at its values,
    :math:`\epsilon_L = -\beta \partial F / \partial v_L`, :math:`\epsilon_l = f'(v_l) \odot
    W_{l+1}^T \epsilon_{l+1}`, and the values are what a forward pass gives with the errors added
    to its drives: a fixed point, unique while the nudge is gentle.

    Raises
    ------
    Divergence
        If values do not come to rest.
    """
    top, names = network.output.name, list(clean.drive)
    cuts = np.cumsum([clean.drive[name].shape[-1] for name in names])[:-1]

    def parted(errors: Array) -> Arrays:
        parts = np.split(errors, cuts, axis=-1)
        return {n: np.ascontiguousarray(part) for n, part in zip(names, parts, strict=True)}

    def passed(errors: Arrays) -> Activity:
        noise = {name: error[None] for name, error in errors.items()}
        shifted = network.forward(batch.inputs, drive_noise=noise, clean=clean)
        drive = {name: (shifted.drive[name] + noise[name])[0] for name in errors}
        activity = {
            name: array[0] if name in errors else array for name, array in shifted.activity.items()
        }
        return Activity(drive, activity, activity[top])

    def returned(errors: Array) -> Array:
        values = passed(parted(errors))
        push = {top: -nudging * objective.error(values.output, batch.targets)}
        asked = network.credit(values, push)
        return np.concatenate([asked[name] for name in names], axis=-1)

    start = np.zeros((len(clean.output), sum(d.shape[-1] for d in clean.drive.values())))
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.maximum(1.0, np.abs(np.concatenate(list(clean.drive.values()), -1)).max(-1))
        floor = ROUNDING * abs(nudging) * largest
        found = fixed_point(returned, start, REST, TURNS, floor)
    if found is None:
        raise Divergence("predictive_coding: nudged values do not come to rest; nudge more gently")
    errors = parted(found)
    return errors, passed(errors).activity


def pulled(
    network: Network, values: Mapping[str, Array], activity: Mapping[str, Array], errors: Arrays
) -> Arrays:
    """Force on the values of each hidden population from the errors above."""
    return {
        population.name: population.neurons.adjoint(
            values[population.name],
            activity[population.name],
            sum(
                (
                    p.synapse.feedback(network.parameters[p.name], errors[p.target])
                    for p in network.outgoing[population.name]
                ),
                start=np.zeros(()),
            ),
        )
        for population in network.hidden
    }


def equilibrium_energy(network: Network, batch: Batch) -> float:
    """Mean over the batch of 1/2 r^T S^-1 r, for a linear chain."""
    residual = batch.targets - network.forward(batch.inputs).output
    product, covariance = np.eye(network.output.size), np.eye(network.output.size)
    for p in reversed(network.returning):
        product = product @ network.parameters[p.name]
        covariance = covariance + product @ product.T
    return 0.5 * float((residual * np.linalg.solve(covariance, residual.T).T).sum()) / batch.size


def equilibrium_gradient(at: Situation) -> Arrays:
    """Gradient of the equilibrium energy by central differences."""
    return differences_of(at.network, lambda network: equilibrium_energy(network, at.batch))


def _clamped(network: Network, objective: Objective, batch: Batch, clean: Activity) -> Arrays:
    """Values of the forward pass with the output moved by one gradient step on its drive."""
    top = network.output
    drive, activity = clean.drive[top.name], clean.activity[top.name]
    error = objective.error(activity, batch.targets)
    return {**clean.drive, top.name: drive - top.neurons.adjoint(drive, activity, error)}


def _after(moments: Iterator[tuple[Arrays, Arrays]], steps: int) -> tuple[Arrays, Arrays]:
    # On the way to divergence values overflow; that is looked for, not warned of.
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(*next(islice(moments, steps, None)))


def _finite(errors: Arrays, activity: Arrays) -> tuple[Arrays, Arrays]:
    if not all(np.isfinite(error).all() for error in errors.values()):
        raise Divergence("predictive_coding: values are not finite; take a shorter step")
    return errors, activity


def _factors(
    network: Network, errors: Arrays, activity: Mapping[str, Array], factor: float
) -> dict[str, tuple[Array, Array]]:
    return {p.name: (factor * errors[p.target], activity[p.source]) for p in network.projections}
