"""Layered Hopfield network: symmetric connections, activity that settles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import Architecture, layered
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.architectures.settling import settle
from plausibench.kernels.errors import (
    Divergence,
    InputError,
    choose,
    flag,
    integer,
    positive,
    sizes,
)

Array = np.ndarray

TOGETHER = 64
"""Examples whose signals are solved for at once."""


@dataclass(frozen=True, eq=False, repr=False)
class HopfieldNetwork(Network):
    """A network whose clean pass is the fixed point that it settles to from a forward pass.

    Parameters
    ----------
    tolerance, steps
        Of the fixed point; see :func:`plausibench.architectures.settling.settle`. Settling is in
        float64 for any type of the parameters.
    """

    tolerance: float
    steps: int

    @property
    def dynamics(self) -> str:
        return "settling"

    @property
    def precision(self) -> float:
        """That of a rounded number, or of activity at rest."""
        return max(super().precision, self.tolerance)

    def forward(
        self,
        inputs: Array,
        *,
        parameters: Mapping[str, Array] | None = None,
        drive_noise: Mapping[str, Array] | None = None,
        amplitude: float = 1.0,
        clean: Activity | None = None,
    ) -> Activity:
        """Let activity settle; noise is a constant current. The drive includes feedback.

        Raises
        ------
        Divergence
            If it does not.
        """
        weights = {name: _double(array) for name, array in (parameters or {}).items()}
        noise = {name: amplitude * _double(array) for name, array in (drive_noise or {}).items()}
        double = self.astype("float64")
        if clean is None:
            start = Network.forward(double, _double(inputs), parameters=weights)
        else:
            start = _cast(clean, np.dtype("float64"))
        rest = settle(
            double,
            start,
            parameters=weights,
            current=noise,
            tolerance=self.tolerance,
            steps=self.steps,
        )
        drive = {
            name: array - noise[name] if name in noise else array
            for name, array in rest.drive.items()
        }
        return _cast(Activity(drive, rest.activity, rest.output), self.dtype)

    def credit(
        self,
        clean: Activity,
        arriving: Mapping[str, Array],
        feedback: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Signals on the drive of each population, by implicit differentiation.

        At the fixed point the signals s solve ``s_l = f_l' (r_l + W_l s_(l-1) + W_(l+1)^T
        s_(l+1))`` for those r that arrive: the connections that conduct activity conduct the
        signal, in one linear system for each example.

        Raises
        ------
        InputError
            If other feedback weights are given: the signal returns through the network's own.
        Divergence
            If the fixed point is not isolated.
        """
        if feedback is not None:
            raise InputError(
                "feedback: in a network that settles, signals return through its own weights; "
                "allowed is None"
            )
        names = [population.name for population in self.populations]
        ends = np.cumsum([population.size for population in self.populations])
        places = dict(zip(names, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
        coupling = np.zeros((ends[-1], ends[-1]))
        for p in self.returning:
            # What activity of the source adds to the drive of the target.
            weights = p.synapse.drive(
                _double(self.parameters[p.name]), np.eye(places[p.source].size)
            )
            coupling[np.ix_(places[p.source], places[p.target])] += weights
            coupling[np.ix_(places[p.target], places[p.source])] += weights.T
        shape = np.broadcast_shapes(*(array.shape[:-1] for array in arriving.values()))
        total = np.zeros((*shape, ends[-1]))
        for name, array in arriving.items():
            total[..., places[name]] = array
        slope = np.concatenate(
            [
                population.neurons.slope(
                    _double(clean.drive[population.name]), _double(clean.activity[population.name])
                )
                for population in self.populations
            ],
            axis=-1,
        )
        signal = np.empty_like(total)
        identity = np.eye(ends[-1])
        # Some examples at a time: the matrices of a large batch would fill the memory.
        for start in range(0, len(slope), TOGETHER):
            some = slice(start, start + TOGETHER)
            slopes = slope[some]
            right = (slopes * total[..., some, :]).reshape(-1, *slopes.shape)
            try:
                # One system for each example, with a right side for each sample.
                solved = np.linalg.solve(
                    identity - slopes[..., None] * coupling, right.transpose(1, 2, 0)
                )
            except np.linalg.LinAlgError as error:
                raise Divergence("hopfield: the fixed point is not isolated") from error
            signal[..., some, :] = solved.transpose(2, 0, 1).reshape(*shape[:-1], *slopes.shape)
        return {
            name: signal[..., place].astype(self.dtype, copy=False)
            for name, place in places.items()
        }

    def pull(self, clean: Activity, error: Array) -> dict[str, Array]:
        """Gradient at the fixed point: a weight between neurons is used in both directions."""
        signals = self.credit(clean, {self.output.name: error})
        found = {}
        for p in self.projections:
            found[p.name] = p.synapse.outer(signals[p.target], clean.presynaptic(p))
            if p.source in signals:
                found[p.name] += p.synapse.outer(clean.activity[p.target], signals[p.source])
        return found


@dataclass(frozen=True)
class Hopfield(Architecture):
    """Layers with symmetric connections between neighbours (Hopfield 1984).

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs.
    activation
        Of the hidden layers: identity, tanh, sigmoid, relu, softplus or hard_sigmoid. A bounded
        one always settles; others may diverge where weights are large.
    output
        Activation of the output layer, of the same names: hard_sigmoid for both is the network of
        Scellier & Bengio (2017), whose energy is then that of the paper.
    bias
        Whether neurons have a bias.
    tolerance
        At rest no activity changes by more than this in a sweep through all layers, or by more
        than rounding makes. Rules that compare phases settle further where errors are small.
    steps
        Number of sweeps after which a network that has not settled is a failure.
    """

    sizes: Sequence[int]
    activation: str = "sigmoid"
    output: str = "identity"
    bias: bool = True
    tolerance: float = 1e-13
    steps: int = 100_000

    summary: ClassVar[str] = "layers with symmetric connections that settle to a fixed point"
    equation: ClassVar[str] = "a_l = f_l(W_l a_(l-1) + W_(l+1)^T a_(l+1) + b_l)"
    cites: ClassVar[str] = "Hopfield 1984; Scellier & Bengio 2017"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        flag("bias", self.bias)
        for field in ("activation", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)
        positive("tolerance", self.tolerance)
        integer("steps", self.steps, least=1)

    def build(self, seed: int = 0) -> Network:
        depth = len(self.sizes) - 1
        names = [self.activation] * (depth - 1) + [self.output]
        neurons = [Pointwise(name) for name in names]
        chain = layered("hopfield", self.sizes, neurons, self.bias, seed)
        return HopfieldNetwork(
            chain.architecture,
            chain.inputs,
            chain.populations,
            chain.projections,
            chain.parameters,
            tolerance=self.tolerance,
            steps=self.steps,
        )


def _double(array: Array) -> Array:
    return array.astype(np.float64, copy=False)


def _cast(activity: Activity, dtype: np.dtype) -> Activity:
    drive, rates = (
        {name: array.astype(dtype, copy=False) for name, array in arrays.items()}
        for arrays in (activity.drive, activity.activity)
    )
    return Activity(drive, rates, activity.output.astype(dtype, copy=False))
