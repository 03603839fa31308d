"""Online training through time: errors go down in space alone, and meet traces of the past."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.integrate_and_fire import IntegrateAndFire
from plausibench.architectures.network import Activity, Network, Population
from plausibench.architectures.recurrent import Course, RecurrentNetwork, with_neurons
from plausibench.architectures.temporal import Temporal
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation
from plausibench.rules.through_time import (
    IN_TIME,
    LearningSignal,
    aligned,
    one_step,
    without_recurrence,
)

Array = np.ndarray


@dataclass(frozen=True)
class Ottt(LearningSignal):
    r"""Online training through time, OTTT (Xiao et al. 2022).

    Of its kind are OSTL (Bohnstingl et al. 2022), and SLTT (Meng et al. 2023), which has no traces.

    In every step the error goes down from layer to layer as if there were no time,

    .. math::

        L_l^t = W_{l+1}^T \left[\frac{\partial h_{l+1}^t}{\partial u_{l+1}^t} L_{l+1}^t\right],
        \qquad \hat g_l = \sum_t L_l^t\, \epsilon_l^t,

    and meets in each synapse a trace :math:`\epsilon` of what it did to its own neuron, with the
    neuron's leaks and filters and without its reset. What a layer did to those above at later
    steps is left out, and so is recurrence.

    Spikes of integrate-and-fire neurons reach others a step late; on the way down in space they
    count as if they did so at once, by their first effect on the filtered spikes.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)``.
    feedback
        Weights from layer to layer: ``symmetric``, ``random`` or ``adaptive``.
    """

    feedback: str = "symmetric"

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors of the same step go down through space alone, and meet traces of the past",
        family="through time",
        equation=(
            "g_l = sum_t L_l^t eps_l^t,  L_l^t = W_(l+1)^T [(dh/du)^t L_(l+1)^t];  as an outer "
            "product: post_t is L filtered in reverse time through the neuron"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "B = W^T, and one time step or one hidden layer without recurrent weights whose reset "
            "is detached, below a readout without memory; the readout always"
        ),
        variance_law="0 for given B",
        synapse_knows="a trace of pre and of slopes of its neuron, the error that reaches it",
        forward_passes=3.0,
        cites=(
            "Xiao, Meng, Zhang, He & Lin 2022; Meng, Xiao, Yan, Wang, Lin & Luo 2023; Bohnstingl, "
            "Wozniak, Pantazi & Eleftheriou 2022"
        ),
        phases="in every step forwards, then down; the traces are online",
        notes=(
            "the paper's trace is of presynaptic spikes, filtered by the leak; here it runs "
            "through all leaks and filters of the neuron. A reset to zero empties it; one by "
            "subtraction, the paper's, leaves it. The papers' update after every step is a sum "
            "over the trial here. Recurrent weights learn, but nothing returns through them"
        ),
        unverified=(
            "the trace is that of the authors' code, and the papers were read in their abstracts; "
            "OSTL, and SLTT, whose code has no traces; learning curves"
        ),
    )

    dynamics: ClassVar[frozenset[str]] = IN_TIME

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        assert isinstance(network, RecurrentNetwork)
        assert isinstance(clean, Course)
        tracing = _detached(network)
        known = self.feedback == "symmetric"
        arriving = {network.output.name: objective.batch_error(clean.output, batch)}
        signals: dict[str, Array] = {}
        for population in reversed(tracing.populations):
            total = arriving[population.name]
            signals |= tracing.credit(clean, {population.name: total}, feedback={})
            passed = _at_once(population, clean, total)
            for p in tracing.incoming[population.name]:
                if p in tracing.returning and not p.delay:
                    own = network.weights[p.name]
                    weights = own if known else p.synapse.untranspose(state[p.name])
                    part = p.synapse.feedback(weights, passed)
                    before = arriving.get(p.source)
                    arriving[p.source] = part if before is None else before + part
        return outers(network, clean, signals)

    def theory(self) -> tuple[Claim, ...]:
        symmetric = replace(self, feedback="symmetric")

        def alone(at: Situation) -> Situation:
            if _deep(at.network):
                raise InputError("there is more than one hidden layer")
            if isinstance(at.network.output.neurons, Temporal):
                raise InputError("the readout carries errors from step to step")
            return _detaching(aligned(without_recurrence(at)))

        def deep(at: Situation) -> Situation:
            if not _deep(at.network):
                raise InputError("there is one hidden layer")
            if at.network.dynamics == "recurrent spiking":
                raise InputError("few spikes of a first layer make a second one spike")
            return aligned(without_recurrence(at))

        return (
            Limit(
                "one time step, symmetric: backpropagation through time",
                lambda at: replace(one_step(at), rule=symmetric, state={}),
                tolerance=1e-12,
            ),
            Limit(
                "one hidden layer, no recurrent weights, reset detached, B = W^T: backpropagation "
                "through time",
                alone,
                tolerance=1e-12,
            ),
            Limit("several layers, B = W^T: biased", deep, tolerance=0.1, holds=False),
        )


def _deep(network: Network) -> bool:
    """Whether a hidden population drives another."""
    names = {each.name for each in network.hidden}
    return any(p.source in names and p.target in names and not p.delay for p in network.projections)


def _detached(network: RecurrentNetwork) -> RecurrentNetwork:
    """The same network, whose neurons pass no signal back through their reset."""
    return with_neurons(
        network,
        {
            each.name: replace(each.neurons, detach_reset=True)
            for each in network.populations
            if isinstance(each.neurons, IntegrateAndFire)
        },
    )


def _detaching(at: Situation) -> Situation:
    assert isinstance(at.network, RecurrentNetwork)
    return replace(at, network=_detached(at.network))


def _at_once(population: Population, clean: Course, arriving: Array) -> Array:
    """Signal on the drive of every step for one on the activity of the same step, ``(T B, N)``."""
    name, neurons = population.name, population.neurons
    if not isinstance(neurons, Temporal):
        return neurons.adjoint(clean.drive[name], clean.activity[name], arriving)
    slopes = neurons.slopes(clean.drive[name], clean.traces[name])
    carried: dict[str, Array] = {}
    signal = neurons.adjoint_step(slopes, arriving, carried)
    if neurons.spiking:
        # The activity of a step holds spikes of the step before: what this one did to the next.
        signal = neurons.adjoint_step(slopes, np.zeros_like(arriving), carried)
    return signal
