"""Companions of the rules that perturb: the forward gradient along the same noise."""

from collections.abc import Callable, Mapping

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.buffers import empty
from plausibench.kernels.streams import stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, directed, form, outers, per_example, per_row
from plausibench.rules.layers import in_double
from plausibench.rules.noise import Noise
from plausibench.rules.perturbation import normalised, weight_law
from plausibench.rules.rule import Companion

Array = np.ndarray
Arrays = Mapping[str, Array]

PROBES = 32
"""Draws, apart from those of any measurement, that tell how far noise moves the drives."""


def along_gradient(
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    law: str,
    excess: float,
    sigma: float | None = None,
    even: Callable[[Arrays], Array] | None = None,
) -> Companion:
    """``(g . xi) xi`` for noise on the weights, whose mean is g.

    Parameters
    ----------
    law, excess
        Of the noise, and its ``E xi^4 - 2``.
    sigma
        What differences of losses are divided by; None for a rule that takes none.
    even
        What the change of the loss has of the noise and of its opposite alike, which times the
        noise is odd; None for a rule whose changes have nothing of it.
    """
    double, wide, passed = in_double(network, batch, clean)
    known = weight_law(double, objective, wide, passed, excess)
    exact = known.mean

    def estimate(noise: Noise) -> Estimates:
        xi = noise.parameters(network.parameters, law)
        slope = sum(drawn.reshape(len(drawn), -1) @ exact[n].reshape(-1) for n, drawn in xi.items())
        return directed(np.asarray(slope), xi, noise, law)

    def odd(noise: Noise) -> Estimates:
        assert even is not None
        xi = noise.parameters(network.parameters, law)
        same = even(xi)
        return directed(same, xi, noise, law)

    total = sum(float((g**2).sum()) for g in exact.values())
    square = rounding_of_slope(network, total)
    if sigma is not None:
        square += rounding_of_loss(network, objective, batch, clean) / sigma**2
    floor = dict.fromkeys(exact, square)
    return Companion(estimate, exact, known.variance, floor, None if even is None else odd)


def along_signals(
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    law: str,
    variance: dict[str, float] | None,
    sigma: float | None = None,
    even: Callable[[Arrays], Array] | None = None,
) -> Companion:
    """``(delta_b . xi_b) xi_l`` times presynaptic activity, whose mean is that of delta itself.

    Parameters are those of :func:`along_gradient`, with a number of each example from ``even``.
    """
    double, wide, passed = in_double(network, batch, clean)
    signals = signals_of(double, objective, wide, passed)

    def estimate(noise: Noise) -> Estimates:
        xi = noise.examples(clean.drive, law)
        slope = along(signals, xi, batch.size)
        return outers(network, clean, {name: scaled(slope, drawn) for name, drawn in xi.items()})

    def odd(noise: Noise) -> Estimates:
        assert even is not None
        xi = noise.examples(clean.drive, law)
        same = even(xi)
        return outers(network, clean, {name: scaled(same, drawn) for name, drawn in xi.items()})

    mean = in_float64(form(network, outers(network, clean, signals)))
    floor = floors(network, objective, batch, clean, signals, sigma)
    return Companion(estimate, mean, variance, floor, None if even is None else odd)


def along_moved(
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    law: str,
    sigma: float,
    formed: Callable[[Arrays], Estimates],
    variance: dict[str, float] | None,
) -> Companion:
    """``N (delta . xi) dz_l / |dz|^2`` with dz the tangent of the noise, and its mean.

    With a single layer dz is the noise, and the mean that of delta. With more of them |dz|^2 stands
    for what it is on average, so that the mean is the tangent of delta.

    Parameters
    ----------
    formed
        Estimates from the post factors on every population.
    """
    double, wide, passed = in_double(network, batch, clean)
    signals = signals_of(double, objective, wide, passed)

    def tangent(noise: Noise) -> tuple[Array, dict[str, Array]]:
        xi = in_float64(noise.examples(clean.drive, law))
        return along(signals, xi, batch.size), double.tangent(passed, drive=xi).drive

    if not network.hidden:
        mean = signals

        def posts(noise: Noise) -> Arrays:
            return normalised(*tangent(noise))
    else:
        probes = Noise(stream(0, "companion"), np.arange(PROBES), batch.keys, np.dtype(np.float64))
        lengths = sum((part**2).sum(axis=-1) for part in tangent(probes)[1].values())
        share = sum(part.shape[-1] for part in signals.values()) / np.mean(lengths, axis=0)
        moved = double.tangent(passed, drive=signals).drive
        mean = {name: share[:, None] * part for name, part in moved.items()}

        def posts(noise: Noise) -> Arrays:
            slope, moved = tangent(noise)
            return {name: scaled(share * slope, part) for name, part in moved.items()}

    return Companion(
        lambda noise: formed(posts(noise)),
        in_float64(form(network, formed(mean))),
        variance,
        floors(network, objective, batch, clean, signals, sigma),
    )


def signals_of(
    network: Network, objective: Objective, batch: Batch, clean: Activity
) -> dict[str, Array]:
    """Derivative delta of the batch's loss by the drive of every population."""
    error = objective.batch_error(clean.output, batch)
    return network.credit(clean, {network.output.name: error})


def along(signals: Arrays, xi: Arrays, size: int) -> Array:
    """Derivative of each example's loss along its noise, ``(S, B)``, from that by the drives."""
    rows = sum(np.einsum("bn,sbn->sb", signal, xi[name]) for name, signal in signals.items())
    return per_example(np.asarray(rows), size)


def scaled(values: Array, rows: Array) -> Array:
    """Rows ``(S, T B, N)`` times a number of each example ``(S, B)``, in memory used before."""
    each = per_row(values, rows)
    found = empty(rows.shape, np.result_type(each, rows))
    return np.multiply(each, rows, out=found)


def in_float64(arrays: Arrays) -> dict[str, Array]:
    """The arrays in float64."""
    return {name: array.astype(np.float64, copy=False) for name, array in arrays.items()}


def floors(
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    signals: Arrays,
    sigma: float | None,
) -> dict[str, float]:
    """Squared bias of each parameter that rounding may make, from noise on the drives.

    Noise of every unit is orthogonal to that of the others, so that the mean of ``eta xi`` is no
    longer than the root mean square of eta, the rounding of an example's slope. That of different
    examples is independent.
    """
    square = rounding_of_slope(network, sum(float((s**2).sum()) for s in signals.values()))
    if sigma is not None:
        loss = rounding_of_loss(network, objective, batch, clean)
        square += loss / (sigma * batch.size) ** 2
    return {
        p.name: square * float((clean.presynaptic(p).astype(np.float64) ** 2).sum())
        for p in network.projections
    }


def rounding_of_slope(network: Network, square: float) -> float:
    """Square of the rounding of a slope of this mean square, in order of magnitude."""
    return (8 * network.precision) ** 2 * square


def rounding_of_loss(
    network: Network, objective: Objective, batch: Batch, clean: Activity
) -> float:
    """Square of the rounding of a batch's loss, in order of magnitude: of itself and the output."""
    error = objective.batch_error(clean.output, batch)
    output = float(np.abs(error * clean.output).sum(dtype=np.float64))
    loss = abs(float(objective.batch_loss(clean.output, batch)))
    return (network.precision * (loss + output)) ** 2
