"""Least control: neurons learn what the smallest control makes them do that reaches the target."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import Divergence, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.fixed_point import fixed_point
from plausibench.rules.layers import gated, in_double, representable
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, differences_of
from plausibench.rules.value_descent import ValueDescent

Array = np.ndarray
Arrays = dict[str, Array]

REST, TURNS = 1e-12, 200
"""Largest change of controls at rest, relative to the largest one, and number of turns."""
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Change of controls that rounding of drives can make, relative to the largest drive."""


@dataclass(frozen=True)
class LeastControl(Rule):
    r"""Least-control principle (Meulemans, Zucchet, Kobayashi, von Oswald & Sacramento 2022).

    Controls :math:`\psi_l` are added to the drives, :math:`v_l = W_l f(v_{l-1}) + b_l + \psi_l`,
    so that the output's drive is at its target. Of all that do so the smallest are
    :math:`\psi_l = J_l(v)^T u`, with J the derivative of the output's drive by those of the
    layers, and u the control of the output. Weights descend half their square,

    .. math:: -\psi_l f(v_{l-1})^T,

    which is the gradient of the least control for a target that is held.

    Parameters
    ----------
    target_step
        The target lies this many gradient steps from the clean drive of the output. With 1 and
        the squared error of a linear output it is the target of the task. The estimate is divided
        by it.
    """

    target_step: float = 1.0

    double: ClassVar[bool] = True
    card: ClassVar[RuleCard] = RuleCard(
        summary="the smallest control that reaches the target is what neurons learn to do",
        family="targets",
        equation=(
            "v_l = W_l f(v_(l-1)) + b_l + psi_l,  psi_l = J_l(v)^T u,  v_L = z_L - target_step "
            "dF/dz_L;  post_l = -psi_l / target_step,  pre_l = f(v_(l-1))"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when=(
            "the output layer alone: no hidden layer; it is the gradient of half the squared least "
            "control"
        ),
        variance_law="0 for a given batch",
        synapse_knows="pre, control of its neuron; controls need the derivatives of the output",
        forward_passes=60.0,
        cites="Meulemans, Zucchet, Kobayashi, von Oswald & Sacramento 2022",
        phases="one: learning under control",
        notes=(
            "the controller is not simulated: its rest is found by turns of Gauss and Newton. "
            "Feedback is J^T of every example, which a learned feedback can only approach. In a "
            "feed-forward network this is strict predictive coding at rest, where errors of "
            "prediction are the controls: the same numbers from another principle. In the authors' "
            "code the controller adds up the slope of the loss with a leak, in place of a target "
            "for the output"
        ),
        unverified=(
            "controls and change of weights are those of the authors' code, and the paper was read "
            "in its abstract; equilibria of recurrent networks; feedback that learns; leaky "
            "controllers"
        ),
    )

    def __post_init__(self) -> None:
        positive("target_step", self.target_step)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return gated(network, "least_control")

    def signal_share(self, network: Network) -> float:
        """Drives are compared with their target."""
        return min(1.0, self.target_step)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate under the least control.

        Raises
        ------
        Divergence
            If no control is found.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        goal = self.goal(network, objective, batch, clean)
        controls, values = least_control(network, batch, clean, goal)
        if not representable([*controls.values(), *values.activity.values()], batch.size, dtype):
            raise Divergence("least_control: controls overflow; take a smaller target_step")
        factor = -1 / (self.target_step * batch.size)
        return {
            p.name: Outer(
                (factor * controls[p.target]).astype(dtype, copy=False),
                values.presynaptic(p).astype(dtype, copy=False),
            )
            for p in network.projections
        }

    def goal(self, network: Network, objective: Objective, batch: Batch, clean: Activity) -> Array:
        """Target of the output's drive, ``(B, N_L)``."""
        top = network.output
        drive, activity = clean.drive[top.name], clean.activity[top.name]
        error = objective.error(activity, batch.targets)
        return drive - self.target_step * top.neurons.adjoint(drive, activity, error)

    def theory(self) -> tuple[Claim, ...]:
        def weak(at: Situation) -> Situation:
            weaker = {n: 0.5 * a for n, a in at.network.parameters.items()}
            rule = replace(self, target_step=1.0)
            return replace(at, rule=rule, network=at.network.with_parameters(weaker))

        def smallest(at: Situation) -> Arrays:
            """Differences of half the squared control, for the target of the weights there."""
            rule, clean = at.rule, at.network.forward(at.batch.inputs)
            assert isinstance(rule, LeastControl)
            goal = rule.goal(at.network, at.objective, at.batch, clean)

            def half_square(network: Network) -> float:
                now = network.forward(at.batch.inputs)
                controls, _ = least_control(network, at.batch, now, goal)
                return sum(0.5 * float((c**2).sum()) for c in controls.values()) / at.batch.size

            return differences_of(at.network, half_square)

        def predictive_coding(at: Situation) -> Arrays:
            """Values that descend step by step, with the output clamped at the same target."""
            clean = at.network.forward(at.batch.inputs)
            descent = ValueDescent(
                at.network, at.objective, at.batch, clean, weight=1.0, activities=False, loss=False
            )
            values = descent.start()
            for _ in range(800):
                values = descent.moved(values, 0.2)
            errors, _, shown = descent.errors(values)
            return {
                p.name: p.synapse.outer(-errors[p.target] / at.batch.size, shown[p.source])
                for p in at.network.projections
            }

        return (
            Limit(
                "weak weights: gradient of half the squared control, by differences",
                weak,
                tolerance=1e-6,
                expected=smallest,
            ),
            Limit(
                "weak weights: strict predictive coding at rest",
                weak,
                tolerance=1e-8,
                expected=predictive_coding,
            ),
            Limit("not the gradient of the loss", lambda at: at, tolerance=0.01, holds=False),
        )


def least_control(
    network: Network, batch: Batch, clean: Activity, goal: Array
) -> tuple[Arrays, Activity]:
    """Smallest controls that bring the output's drive to its goal, and activity under them.

    Raises
    ------
    Divergence
        If none are found.
    """
    top = network.output.name
    names = [population.name for population in network.hidden]
    cuts = np.cumsum([population.size for population in network.hidden])

    def parted(x: Array) -> tuple[Arrays, Array]:
        *hidden, output = (np.ascontiguousarray(part) for part in np.split(x, cuts, axis=-1))
        return dict(zip(names, hidden, strict=True)), output

    def turn(x: Array) -> Array:
        controls, _ = parted(x)
        values = _controlled(network, batch, clean, controls)
        rows = _rows(network, values)
        loop = np.eye(goal.shape[-1]) + np.zeros((len(goal), 1, 1))
        missing = goal - values.drive[top]
        for name, jacobian in rows.items():
            loop = loop + jacobian @ jacobian.swapaxes(1, 2)
            missing = missing + np.einsum("bon,bn->bo", jacobian, controls[name])
        output = np.linalg.solve(loop, missing[..., None])[..., 0]
        hidden = [np.einsum("bon,bo->bn", rows[name], output) for name in names]
        return np.concatenate([*hidden, output], axis=-1)

    start = np.zeros((len(goal), sum(population.size for population in network.populations)))
    with np.errstate(over="ignore", invalid="ignore"):
        heights = np.abs(np.concatenate([*clean.drive.values(), goal], axis=-1)).max(axis=-1)
        found = fixed_point(turn, start, REST, TURNS, ROUNDING * np.maximum(1.0, heights))
    if found is None:
        raise Divergence("least_control: no control reaches the target; take a smaller target_step")
    controls, output = parted(found)
    return {**controls, top: output}, _controlled(network, batch, clean, controls)


def _controlled(network: Network, batch: Batch, clean: Activity, controls: Arrays) -> Activity:
    """Pass with controls of hidden neurons; drives include them."""
    noise = {name: control[None] for name, control in controls.items()}
    passed = network.forward(batch.inputs, drive_noise=noise, clean=clean)
    drive = {
        name: array.reshape(clean.drive[name].shape) + controls.get(name, 0.0)
        for name, array in passed.drive.items()
    }
    activity = {
        name: array.reshape(clean.activity[name].shape) for name, array in passed.activity.items()
    }
    return Activity(drive, activity, activity[network.output.name])


def _rows(network: Network, values: Activity) -> Arrays:
    """Derivative of the output's drive by that of each hidden population, ``(B, N_L, N)``."""
    size, examples = network.output.size, len(values.output)
    rows = np.broadcast_to(np.eye(size)[:, None, :], (size, examples, size))
    signals = {network.output.name: np.ascontiguousarray(rows)}
    for population in reversed(network.hidden):
        name = population.name
        back = np.zeros(())
        for p in network.outgoing[name]:
            returned = p.synapse.feedback(network.parameters[p.name], signals[p.target])
            back = back + returned
        signals[name] = population.neurons.adjoint(values.drive[name], values.activity[name], back)
    return {p.name: signals[p.name].swapaxes(0, 1) for p in network.hidden}
