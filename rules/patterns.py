"""Passes in which hidden neurons draw what they do, by the numbers of the stream of spikes."""

import numpy as np

from plausibench.architectures.escape_noise import EscapeNetwork, Train
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.spiking import SpikingNetwork, Threshold
from plausibench.architectures.stochastic import StochasticNetwork
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise

Array = np.ndarray

DRAWING = frozenset({"stochastic", "spiking", "recurrent stochastic"})
"""Dynamics of networks whose hidden neurons draw what they do."""


def drawn(network: Network, inputs: Array, noise: Noise) -> Activity:
    """One pass for each sample, with a pattern that is drawn for each example.

    Parameters
    ----------
    network
        Of a dynamics in ``DRAWING``.
    inputs
        ``(B, N_in)``, or over time ``(B, T, N_in)``.
    noise
        The samples S.

    Returns
    -------
    Activity
        ``(S, B, N)``, over time ``(S, T B, N)``; ``(B, N)`` what does not depend on draws.

    Raises
    ------
    InputError
        If the network draws nothing.
    """
    if isinstance(network, EscapeNetwork):
        return drawn_train(network, inputs, noise)
    if isinstance(network, SpikingNetwork):
        trials = drive_noise(network, noise, 1)
        return network.simulate(inputs, {name: each[:, 0] for name, each in trials.items()})
    if isinstance(network, StochasticNetwork):
        wanted = {each.name: np.empty((len(inputs), each.size)) for each in network.stochastic}
        return network.sample(inputs, noise.spikes(wanted, network.law))
    raise InputError(f"network: {network.architecture} draws nothing that its neurons do")


def drawn_train(network: EscapeNetwork, inputs: Array, noise: Noise) -> Train:
    """The same of neurons with escape noise, whose spikes are kept."""
    examples, samples = len(inputs), noise.samples.size
    steps = inputs.shape[1] if inputs.ndim == 3 else network.steps
    wanted = {each.name: np.empty((examples, steps * each.size)) for each in network.spikers}
    draws = {}
    for name, uniform in noise.spikes(wanted).items():
        by_step = uniform.reshape(samples, examples, steps, -1).swapaxes(1, 2)
        draws[name] = by_step.reshape(samples, steps * examples, -1)
    return network.sample(inputs, draws)


def drive_noise(network: SpikingNetwork, noise: Noise, trials: int) -> dict[str, Array]:
    """Noise on the drives of hidden populations, ``(S, T, B, N)``."""
    samples, examples, disturbed = noise.samples.size, noise.keys.size, {}
    for population in network.hidden:
        name, neurons = population.name, population.neurons
        assert isinstance(neurons, Threshold)
        wanted = {
            name: np.empty((examples, trials * population.size)),
            f"{name}.common": np.empty((examples, 2 * trials)),
        }
        uniform = noise.spikes(wanted)
        # Multiples of 2^-53; zero, which has no logarithm, becomes half of the smallest.
        own, common = (np.maximum(uniform[key], 2.0**-54) for key in wanted)
        own = neurons.spread * (np.log(own) - np.log1p(-own))
        # Gaussian numbers from two uniform ones (Box & Muller 1958).
        radius, angle = np.sqrt(-2 * np.log(common[..., :trials])), 2 * np.pi * common[..., trials:]
        shared = neurons.common * radius * np.cos(angle)
        each = own.reshape(samples, examples, trials, population.size) + shared[..., None]
        disturbed[name] = each.swapaxes(1, 2)
    return disturbed
