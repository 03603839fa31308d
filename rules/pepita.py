"""PEPITA: a second forward pass, its input modulated by the error of the first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import chain
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray


@dataclass(frozen=True)
class Pepita(Rule):
    """Present the error to perturb the input to modulate activity (Dellaferrera & Kreiman 2022).

    A second pass sees ``x + F delta_L``. Hidden neurons learn from the difference of their
    activities in the two passes, the output from its error in the first.

    The state holds F ``(N_0, N_L)`` under ``input``.

    Parameters
    ----------
    scale
        Entries of F are uniform on ``+- scale (6 / N_0)^(1/2)`` (0.05 in the code of the paper).
    gain
        Factor on the estimates of hidden layers, which are proportional to F.
    """

    scale: float = 0.05
    gain: float = 1.0

    paper_setting: ClassVar[Mapping[str, Any]] = {"momentum": 0.9}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.05, 0.2)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the error is added to the input, and neurons compare the two passes",
        family="aims of a layer",
        equation=(
            "post_L = delta_L,  post_l = a_l - a_l^e,  pre_l = a_(l-1)^e,  "
            "where a^e is the pass on x + F delta_L"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "one hidden layer, F = -epsilon W_1^+ W_2^T, hidden estimates over epsilon, "
            "epsilon -> 0"
        ),
        variance_law="0 for given F",
        synapse_knows="pre of the second pass, the activity of its neuron in both",
        forward_passes=2.0,
        cites="Dellaferrera & Kreiman 2022",
        notes=(
            "for small F it is indirect feedback alignment with B = -W_1 F: with the sign of the "
            "paper, descent asks for F anti-aligned with the forward path; the error is that on "
            "the drive of the output; no dropout"
        ),
        unverified="dropout and decay of the published code",
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)
        positive("gain", self.gain)

    def initial_state(self, network: Network, seed: int) -> State:
        bound = self.scale * (6 / network.inputs) ** 0.5
        draw = generator(seed, "feedback", INPUT).uniform(
            -bound, bound, (network.inputs, network.output.size)
        )
        return {INPUT: draw.astype(network.dtype)}

    def state_axes(self, network: Network) -> Axes:
        return {INPUT: (INPUT, network.output.name)}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        top = network.output.name
        error = objective.error(clean.output, batch.targets)
        delta = network.credit(clean, {top: error}, feedback={})[top]
        modulated = network.forward(batch.inputs + delta @ state[INPUT].T)
        post = {
            p.name: (clean.activity[p.name] - modulated.activity[p.name]) * (self.gain / batch.size)
            for p in network.hidden
        }
        post[top] = delta / batch.size
        return {
            p.name: Outer(post[p.target], modulated.presynaptic(p)) for p in network.projections
        }

    def theory(self) -> tuple[Claim, ...]:
        return (
            Slope(
                "F = epsilon F_0, hidden estimates over epsilon, epsilon -> 0: indirect feedback "
                "alignment with B = -W_1 F_0",
                _small,
                power=1.0,
                smallest=1e-4,
                tolerance=1e-3,
                expected=_first_order,
            ),
            Slope(
                "one hidden layer, F = -epsilon W_1^+ W_2^T, hidden estimates over epsilon, "
                "epsilon -> 0: backpropagation",
                _inverse,
                power=1.0,
                smallest=1e-4,
                tolerance=1e-3,
            ),
            Limit("random F: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def _small(at: Situation, epsilon: float) -> Situation:
    assert isinstance(at.rule, Pepita)
    rule = replace(at.rule, scale=epsilon, gain=1 / epsilon)
    return replace(at, rule=rule, state=rule.initial_state(at.network, at.seed))


def _first_order(at: Situation) -> dict[str, Array]:
    """The derivative of every activity along the change of the input, from the network alone."""
    network, batch, rule = at.network, at.batch, at.rule
    assert isinstance(rule, Pepita)
    clean, top = network.forward(batch.inputs), network.output.name
    error = at.objective.batch_error(clean.output, batch)
    tangent = {INPUT: _on_drive(at, error) @ at.state[INPUT].T}
    found = {}
    for population in network.populations:
        name = population.name
        pushed = sum(
            p.synapse.drive(network.parameters[p.name], tangent[p.source])
            for p in network.incoming[name]
            if p.source in tangent
        )
        slope = population.neurons.slope(clean.drive[name], clean.activity[name])
        tangent[name] = slope * pushed
        post = _on_drive(at, error) if name == top else -rule.gain * tangent[name]
        for p in network.incoming[name]:
            found[p.name] = p.synapse.outer(post, clean.presynaptic(p))
    return found


def _on_drive(at: Situation, error: Array) -> Array:
    """The output error times the slope there."""
    clean, top = at.network.forward(at.batch.inputs), at.network.output
    return top.neurons.adjoint(clean.drive[top.name], clean.output, error)


def _inverse(at: Situation, epsilon: float) -> Situation:
    # W_1 has a right inverse if no more neurons than inputs.
    network = chain(at, [min(at.network.inputs, at.network.hidden[-1].size)], "tanh")
    (above,) = network.returning
    below = next(p for p in network.incoming[above.source] if p.source == INPUT)
    weights = network.parameters
    state = {INPUT: -epsilon * np.linalg.pinv(weights[below.name]) @ weights[above.name].T}
    assert isinstance(at.rule, Pepita)
    rule = replace(at.rule, gain=1 / epsilon)
    return replace(at, rule=rule, network=network, state=state)
