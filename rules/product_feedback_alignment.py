"""Product feedback alignment: errors return by a fixed matrix and a learned one in a row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.kernels.errors import choose, integer, number
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import distance, fans, over_layers, trained, transposed
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

FIXED = ("gaussian", "orthogonal")


@dataclass(frozen=True)
class ProductFeedbackAlignment(Rule):
    """Product feedback alignment (Li & Benna 2024).

    Errors return through neurons between two layers, by fixed weights onto them and by learned
    weights from them: no neuron hears from the neurons that it drives. The learned weights R see
    the signal of the neurons between and the activity of the layer below. They change as the
    forward weights do, seen through the fixed weights B, and decay alike,

    ``R <- (1 - decay) R + B^T (change of W)``,

    so that ``R - B^T W`` is what it was times one minus the decay, and ``B R`` tends to
    ``B B^T W``: to W where the rows of B are orthonormal, and about to W where there are many
    neurons between.

    The state holds for every projection between layers, under its name with ``.fixed``, the matrix
    B^T ``(M, N_out)``, and with ``.learned`` the matrix R^T ``(N_in, M)``.

    Parameters
    ----------
    scale
        Entries of the first R have variance ``scale^2 / (N_in + N_out)``.
    expansion
        Neurons between two layers for each neuron of the upper one (10 in the paper's runs).
    fixed
        B: ``gaussian``, of variance 1 / M, or with ``orthogonal`` rows.
    """

    scale: float = 1.0
    expansion: int = 10
    fixed: str = "gaussian"

    choices: ClassVar[Choices] = {"fixed": FIXED}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return by fixed and learned weights in a row, whose product aligns",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (R_(l+1)^T B_(l+1)^T post_(l+1)) f_l'(z_l),  "
            "pre_l = a_(l-1);  R <- (1 - decay) R + B^T (change of W)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "after many steps with weight decay, where B has orthonormal rows: |R - B^T W| shrinks "
            "by 1 - decay in each"
        ),
        variance_law=(
            "0 for given B and R; at R = B^T W with gaussian B, |B R - W|^2 = (N_out + 1) / M "
            "|W|^2; over the first B and R that of a product of random matrices"
        ),
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B and R; a learned feedback "
            "synapse knows the signal of the neuron between and the activity of the one below"
        ),
        forward_passes=3.0,
        cites="Li & Benna 2024",
        phases="forward, then backward",
        notes=(
            "with momentum or Adam the change that was applied is shared, not the gradient; with "
            "the weights held, or without weight decay, R - B^T W stays as it is; through a "
            "kernel the neurons between are channels; the law of the first R is that of the other "
            "rules with learned feedback here, and B is gaussian where the code has uniform numbers"
        ),
        unverified=(
            "equation and expansion are those of the authors' code, and the paper was read in its "
            "abstract; sparse connections; Adam of R on its own"
        ),
    )

    def __post_init__(self) -> None:
        number("scale", self.scale, least=0)
        integer("expansion", self.expansion, least=1)
        choose("fixed", self.fixed, FIXED)

    def randomness(self) -> frozenset[str]:
        return self.card.randomness if self.scale > 0 else frozenset()

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.returning:
            if p.synapse.transpose(network.weights[p.name]).ndim < 2:
                return (
                    "product_feedback_alignment multiplies matrices, and in "
                    f"{p.name} each neuron has one partner"
                )
        return super().unsupported(network, objective)

    def initial_state(self, network: Network, seed: int) -> State:
        state = {}
        for p in network.returning:
            forward = p.synapse.transpose(network.weights[p.name])
            *stack, sources, targets = forward.shape
            between = self.expansion * targets
            drawn = generator(seed, "feedback", f"{p.name}.fixed").standard_normal(
                (*stack, between, targets)
            )
            learned = generator(seed, "feedback", f"{p.name}.learned").standard_normal(
                (*stack, sources, between)
            )
            fixed = drawn / between**0.5 if self.fixed == "gaussian" else _orthonormal(drawn)
            learned *= self.scale / sum(fans(forward)) ** 0.5
            state[f"{p.name}.fixed"] = fixed.astype(network.dtype)
            state[f"{p.name}.learned"] = learned.astype(network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        """Neurons between layers belong to no population."""
        axes: Axes = {}
        for name, ends in feedback_axes(network).items():
            *stack, source, target = ends
            axes[f"{name}.fixed"] = (*stack, None, target)
            axes[f"{name}.learned"] = (*stack, source, None)
        return axes

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        feedback = {p.name: p.synapse.untranspose(_product(state, p)) for p in network.returning}
        error = objective.batch_error(clean.output, batch)
        signals = network.credit(clean, {network.output.name: error}, feedback)
        return outers(network, clean, signals)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over the first R and B, whose product has the second moments of one first B."""
        return over_layers(network, objective, batch, clean, self.scale)

    def advance(self, state: State, step: Step) -> State:
        new = dict(state)
        for p in step.network.returning:
            change = p.synapse.transpose(step.applied[p.name])
            seen = change @ state[f"{p.name}.fixed"].swapaxes(-1, -2)
            new[f"{p.name}.learned"] = (1 - step.decay) * state[f"{p.name}.learned"] + seen
        return new

    def theory(self) -> tuple[Claim, ...]:
        orthogonal, gaussian = (replace(self, fixed=fixed) for fixed in ("orthogonal", "gaussian"))
        return (
            Limit(
                "R = B^T W, B with orthonormal rows: backpropagation",
                lambda at: _aligned(orthogonal, at),
                1e-13,
            ),
            Limit("random R: biased", lambda at: at, tolerance=0.1, holds=False),
            Limit(
                "R = B^T W, B gaussian and no neurons to spare: biased",
                lambda at: _aligned(replace(gaussian, expansion=1), at),
                0.1,
                holds=False,
            ),
            Law(
                "|R - B^T W| after 200 steps of decay 0.01, over that before times 0.99^200",
                lambda at: (_shrinkage(at, 200, 0.01), 1.0, 1e-12),
            ),
            Law(
                "|R - B^T W| after 200 steps without decay, over that before",
                lambda at: (_shrinkage(at, 200, 0.0), 1.0, 1e-12),
            ),
            Law(
                "R = B^T W, B gaussian: |B R - W|^2 over (N_out + 1) / M |W|^2",
                lambda at: (_spread(gaussian, at), 1.0, 0.05),
            ),
        )


def _orthonormal(drawn: Array) -> Array:
    """Orthonormal columns from gaussian ones ``(..., M, N)``, uniform over rotations."""
    columns, upper = np.linalg.qr(drawn)
    return columns * np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., None, :]


def _product(state: State, p: Projection) -> Array:
    """What a signal goes through, ``(N_in, N_out)``."""
    return state[f"{p.name}.learned"] @ state[f"{p.name}.fixed"]


def _rest(state: State, network: Network) -> State:
    """What R^T tends to: W^T B."""
    weights = transposed(network)
    return {
        f"{name}.learned": forward @ state[f"{name}.fixed"].swapaxes(-1, -2)
        for name, forward in weights.items()
    }


def _aligned(rule: ProductFeedbackAlignment, at: Situation) -> Situation:
    state = rule.initial_state(at.network, at.seed)
    return replace(at, rule=rule, state={**state, **_rest(state, at.network)})


def _shrinkage(at: Situation, steps: int, decay: float) -> float:
    """Length of R - B^T W after steps of learning, over what the decay alone makes of it."""
    after = trained(at, steps, decay)
    before = distance(at.state, _rest(at.state, at.network))
    rest = _rest(after.state, after.network)
    return distance(after.state, rest) / (before * (1 - decay) ** steps)


def _spread(rule: ProductFeedbackAlignment, at: Situation) -> float:
    """Squared distance of the products from the weights, over its law; mean of 2000 draws."""
    weights = transposed(at.network)
    apart = law = 0.0
    for seed in range(2000):
        there = _aligned(rule, replace(at, seed=seed))
        for p in at.network.returning:
            forward = weights[p.name]
            targets = forward.shape[-1]
            between = rule.expansion * targets
            apart += float(np.sum((_product(there.state, p) - forward) ** 2))
            law += (targets + 1) / between * float(np.sum(forward**2))
    return apart / law
