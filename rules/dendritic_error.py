"""Dendritic error: apical dendrites compare top-down input with what interneurons predict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network
from plausibench.architectures.neurons import TwoCompartment
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.architectures.synapses import DenseSynapse
from plausibench.kernels.errors import Divergence, InputError, choose, integer, number, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.layers import in_double
from plausibench.rules.microcircuit import ROUNDING, settle
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import layerwise_matrices
from plausibench.rules.rule import Choices, Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Situation, Slope

Array = np.ndarray

FEEDBACK = ("symmetric", "random")
SCALES = ("declared", "none")


@dataclass(frozen=True)
class Circuit:
    """The settled circuit, ``(B, N)`` per population.

    Attributes
    ----------
    soma
        Somatic voltages of the neurons.
    apical
        Voltages of the apical dendrites; the output population has none.
    interneuron
        Somatic voltages of the interneurons; the output population has none.
    flow
        Basal voltages and firing rates of the neurons, as of a pass through the network.
    steps
        Euler steps that the slowest example took.
    """

    soma: dict[str, Array]
    apical: dict[str, Array]
    interneuron: dict[str, Array]
    flow: Activity
    steps: int


class Wiring(NamedTuple):
    """The circuit as the kernel wants it; see :func:`plausibench.rules.microcircuit.settle`."""

    sizes: Array
    codes: Array
    match: Array
    conductances: Array
    upward: Array
    downward: Array
    bias: Array


@dataclass(frozen=True)
class DendriticError(Rule):
    r"""Dendritic microcircuit with interneurons (Sacramento, Costa, Bengio & Senn 2018).

    Neurons have a basal dendrite that receives the rates of the population below, and an
    apical dendrite that receives those of the population above. Interneurons, one for each
    neuron above, predict these and inhibit the apical dendrite. Its voltage is therefore zero
    until a target pulls the output neurons away from what their own dendrite predicts:

    .. math::

        \dot u_k &= -g_l u_k + g_B (v^B_k - u_k) + g_A (v^A_k - u_k) \\
        \dot u_L &= -g_l u_L + g_B (v^B_L - u_L) + g_{som} (u^{trgt} - u_L) \\
        \dot u^I_k &= -g_l u^I_k + g_D (W^{IP}_k r_k + b^{IP}_k - u^I_k) + g_I (u_{k+1} - u^I_k)

    with :math:`r_k = f_k(u_k)`, :math:`v^B_k = W_k r_{k-1} + b_k` and
    :math:`v^A_k = W^{td}_k r_{k+1} + W^{PI}_k f_{k+1}(u^I_k)`. All voltages settle together,
    from rest. Each synapse then compares the rate of its neuron with the rate that the basal
    dendrite alone predicts, :math:`[f_k(u_k) - f_k(c_k v^B_k)] r_{k-1}^T`. Where apical currents
    do not load the soma, :math:`g_A v^A_k` replaces :math:`g_A (v^A_k - u_k)`.

    The circuit oscillates without end where nudging and weights are both strong, as after
    training; weaker nudging settles it, a shorter step at times. Inside, voltages are float64
    for any network: the signal is a small difference of rates.

    The state holds the top-down weights ``(N_k, N_(k+1))`` under the name of the projection
    they run against, and for every population but the output the weights of its interneurons:
    ``<population>.interneuron_input`` ``(N_(k+1), N_k)``,
    ``<population>.interneuron_input_bias`` ``(N_(k+1),)`` and
    ``<population>.interneuron_output`` ``(N_k, N_(k+1))``. They are those of the
    self-predicting state, times ``1 + <name>_mismatch`` where there is a ``mismatch``.

    Parameters
    ----------
    nudging
        Conductance g_som with which the target pulls the output neurons.
    interneuron_nudging
        Conductance g_I with which neurons pull the interneurons that predict them.
    dendrite
        Conductance g_D between dendrite and soma of interneurons.
    feedback
        Top-down weights: symmetric (W^td = W^T), where the paper derives the gradient, or
        random and fixed, with the entries that ``feedback_alignment`` draws by default.
    scale
        declared: undo the attenuation of each population, so that the estimate tends to the
        gradient as ``nudging`` goes to 0; none: the update as the synapses make it.
    mismatch
        Imperfect self-prediction: every lateral weight differs from its ideal value by a relative
        error of this standard deviation, drawn once and kept.
    noise
        Standard deviation of the membrane noise of every neuron and presentation at the moment
        at which synapses compare rates, after the circuit has settled.
    step
        Length of an Euler step, in membrane capacitance per unit of conductance.
    tolerance
        An example has settled when no voltage changes in a step by more than this times
        ``nudging`` times its largest error at the output, to which the signal is proportional,
        or than rounding makes.
    steps
        Number of steps after which a circuit that has not settled is a failure.
    """

    nudging: float = 0.1
    interneuron_nudging: float = 0.8
    dendrite: float = 1.0
    feedback: str = "symmetric"
    scale: str = "declared"
    mismatch: float = 0.0
    noise: float = 0.0
    step: float = 0.3
    tolerance: float = 1e-8
    steps: int = 10_000

    double: ClassVar[bool] = True
    choices: ClassVar[Choices] = {"feedback": FEEDBACK, "scale": SCALES}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nudging": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="apical dendrites hold what interneurons fail to predict of the top-down input",
        family="dendrites",
        equation="post_k = -(f_k(u_k) - f_k(c_k vB_k)) c_k ... c_L / s_k,  pre_k = r_(k-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="symmetric feedback, in the limit nudging -> 0",
        bias_order=1,
        variance_law="0 for given feedback",
        synapse_knows=(
            "pre, somatic and basal voltage of its neuron; symmetric feedback also needs the "
            "transposed weights above"
        ),
        questioned=True,
        expected=("low", "low"),
        forward_passes=200.0,
        cites="Sacramento, Costa, Bengio & Senn 2018",
        notes=(
            "c_k attenuates the forward pass, s_k the signal, to first order: "
            "s_L = g_som / (G_L + g_som), s_k = s_(k+1) (g_A / G_k) (1 - g_I / G_I), "
            "G the total conductances of soma and interneuron. "
            "Lateral weights are set to the self-predicting state after every change of the "
            "network, as if interneurons learned fast and perfectly: an idealisation, which "
            "mismatch relaxes. With a mismatch apical dendrites are not silent without a target, "
            "and the error made grows as mismatch / nudging. Noise adds the variance "
            "noise^2 |factor f_k'|^2 |r_(k-1)|^2 / B^2 and, where f bends, a bias of its order; in "
            "the paper it also enters the dynamics. "
            "The output is pulled towards u_L - dF/da_L of the clean pass: the paper's target for "
            "the squared error of a linear output, one gradient step on the output otherwise. "
            "Cost: about 100 steps of four products for each projection between populations"
        ),
        unverified=(
            "lateral weights that learn; noise inside the dynamics; the paper's own text could "
            "not be had, constants are of third-party code"
        ),
    )

    def __post_init__(self) -> None:
        positive("nudging", self.nudging)
        number("interneuron_nudging", self.interneuron_nudging, least=0)
        positive("dendrite", self.dendrite)
        choose("feedback", self.feedback, FEEDBACK)
        choose("scale", self.scale, SCALES)
        number("mismatch", self.mismatch, least=0)
        number("noise", self.noise, least=0)
        positive("step", self.step)
        positive("tolerance", self.tolerance)
        integer("steps", self.steps, least=1)

    def randomness(self) -> frozenset[str]:
        kept = self.feedback == "random" or self.mismatch > 0
        sources = {"feedback": kept, "rule": self.noise > 0}
        return frozenset(name for name, drawn in sources.items() if drawn)

    def initial_state(self, network: Network, seed: int) -> State:
        state = layerwise_matrices(network, seed) if self.feedback == "random" else {}
        return self._with_mismatch(self._self_predicting(state, network), network, seed)

    def _with_mismatch(self, state: State, network: Network, seed: int) -> State:
        """Draw the relative errors of lateral weights, and apply them."""
        if self.mismatch == 0:
            return state
        for name in [key for key in state if ".interneuron_" in key]:
            draw = generator(seed, "feedback", name).standard_normal(state[name].shape)
            state[f"{name}_mismatch"] = (self.mismatch * draw).astype(network.dtype)
            state[name] = state[name] * (1 + state[f"{name}_mismatch"])
        return state

    def state_axes(self, network: Network) -> Axes:
        axes = feedback_axes(network)
        for p in network.returning:
            lateral = f"{p.source}.interneuron"
            axes[f"{lateral}_input"] = (p.target, p.source)
            axes[f"{lateral}_input_bias"] = (p.target,)
            axes[f"{lateral}_output"] = (p.source, p.target)
        return axes | {f"{name}_mismatch": own for name, own in axes.items()}

    def advance(self, state: State, step: Step) -> State:
        """Self-predicting state for the weights after the step; random feedback stays."""
        return self._self_predicting(state, step.network)

    def _self_predicting(self, state: State, network: Network) -> State:
        advanced = {}
        for p in network.returning:
            weights, bias = _synapses(network, p.target)
            match = self._match(_neurons(network)[p.target])
            down = p.synapse.transpose(weights) if self.feedback == "symmetric" else state[p.name]
            advanced[p.name] = down.copy()
            advanced[f"{p.source}.interneuron_input"] = match * weights
            advanced[f"{p.source}.interneuron_input_bias"] = match * bias
            advanced[f"{p.source}.interneuron_output"] = -down
        for name in list(advanced):
            kept = f"{name}_mismatch"
            if kept in state:
                advanced[kept] = state[kept]
                advanced[name] = advanced[name] * (1 + state[kept])
        return advanced

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        populations, neurons = network.populations, _neurons(network)
        if len(neurons) < len(populations):
            return "dendritic_error needs apical dendrites: use the dendritic architecture"
        if any(neurons[population.name].apical == 0 for population in network.hidden):
            return "dendritic_error needs an apical conductance above 0 in every hidden layer"
        chain = [INPUT, *(population.name for population in network.hidden)]
        for below, population in zip(chain, populations, strict=True):
            onto = [p for p in network.incoming[population.name] if p.source != CONSTANT]
            if [p.source for p in onto] != [below] or not isinstance(onto[0].synapse, DenseSynapse):
                return "dendritic_error needs dense layers, each fed by the one below only"
        return None

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from the voltages of the settled circuit.

        Raises
        ------
        Divergence
            If the circuit does not settle.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        neurons, top = _neurons(network), network.output.name
        predicted = neurons[top].attenuation * clean.drive[top]
        error = objective.error(clean.output, batch.targets)
        within = self.tolerance * self.nudging * np.abs(error).max(axis=-1)
        circuit = self.settled(network, batch.inputs, state, predicted - error, within)
        flow, rates = circuit.flow, circuit.flow.activity
        if self.noise > 0:
            drawn = noise.examples(clean.drive)
            rates = {
                name: own.rate.activate(circuit.soma[name] + self.noise * drawn[name])
                for name, own in neurons.items()
            }
        signals = {}
        for name, factor in self.factors(network).items():
            predicted = neurons[name].activate(flow.drive[name])
            signals[name] = (factor / batch.size) * (predicted - rates[name])
        return {
            p.name: Outer(
                signals[p.target].astype(dtype, copy=False),
                flow.presynaptic(p).astype(dtype, copy=False),
            )
            for p in network.projections
        }

    def theory(self) -> tuple[Claim, ...]:
        if self.scale != "declared":
            return ()

        perfected = replace(self, mismatch=0.0, noise=0.0, feedback="symmetric", tolerance=1e-11)

        def placed(rule: DendriticError, situation: Situation) -> Situation:
            state = rule.initial_state(situation.network, situation.seed)
            return replace(situation, rule=rule, state=state)

        def perfect(situation: Situation) -> dict[str, Array]:
            return {name: array[0] for name, array in placed(perfected, situation).draws().items()}

        def shallow(here: Situation) -> Situation:
            # Every further layer adds an error of the same order in nudging.
            if len(here.network.hidden) > 2:
                raise InputError("network: the size of the error is claimed for two hidden layers")
            return here

        def without_target(situation: Situation) -> tuple[float, float, float]:
            here = placed(perfected, situation)
            circuit = perfected.settled(here.network, here.batch.inputs, here.state)
            largest = max((float(np.abs(v).max()) for v in circuit.apical.values()), default=0.0)
            return largest, 0.0, 1e-12

        return (
            Law("largest apical voltage without target", without_target),
            Slope(
                "W^td = W^T, nudging -> 0, up to two hidden layers: backpropagation",
                lambda here, nudging: placed(replace(perfected, nudging=nudging), shallow(here)),
                power=1,
                smallest=1e-4,
                tolerance=2e-4,
            ),
            Slope(
                "mismatch -> 0: the ideal circuit",
                lambda here, mismatch: placed(replace(perfected, mismatch=mismatch), here),
                power=1,
                smallest=1e-5,
                tolerance=1e-2,
                expected=perfect,
            ),
        )

    def signal_share(self, network: Network) -> float:
        """The attenuation that the declared scale undoes, where it is strongest.

        The circuit rests where a step changes voltages by 4 units of rounding.
        """
        return 0.25 / max(replace(self, scale="declared").factors(network).values())

    def factors(self, network: Network) -> dict[str, float]:
        """Return what the update of each population is multiplied by.

        The synapses of population k make s_k times the descent step with respect to somatic
        voltages, to first order in ``nudging``; the forward pass attenuates drives by
        c_k, ..., c_L.

        Returns
        -------
        dict
            c_k ... c_L / s_k per population, or 1 with ``scale="none"``.
        """
        factors = {}
        attenuation, signal, missed = 1.0, 1.0, 1.0
        for name, neurons in reversed(_neurons(network).items()):
            if name == network.output.name:
                signal = self.nudging / (neurons.conductance + self.nudging)
            else:
                signal *= missed * neurons.apical / neurons.conductance
            attenuation *= neurons.attenuation
            factors[name] = attenuation / signal if self.scale == "declared" else 1.0
            # Interneurons below are pulled along, and cancel that much of the error.
            passive = neurons.leak + self.dendrite
            missed = passive / (passive + self.interneuron_nudging)
        return factors

    def settled(
        self,
        network: Network,
        inputs: Array,
        state: State,
        targets: Array | None = None,
        within: Array | None = None,
    ) -> Circuit:
        """Let the circuit settle, pulled towards ``targets`` if there are any.

        Parameters
        ----------
        network
            Of the dendritic architecture.
        inputs
            ``(B, N_in)``.
        state
            Top-down and lateral weights.
        targets
            Voltages for the output neurons ``(B, N_out)``; without, nothing pulls them.
        within
            Largest change of a voltage in a step at rest, for each example ``(B,)``; by default
            that for errors of 1 at the output.

        Returns
        -------
        Circuit
            Voltages and rates at rest.

        Raises
        ------
        Divergence
            If an example has not settled after ``steps`` steps.
        """
        examples, nudging = len(inputs), self.nudging
        if targets is None:
            nudging, targets = 0.0, np.zeros((examples, network.output.size))
        wiring = self._wiring(network, state, nudging)
        if within is None:
            within = np.full(examples, self.tolerance * self.nudging)
        inputs = np.ascontiguousarray(inputs, np.float64)
        targets = np.ascontiguousarray(targets, np.float64)
        rows = np.empty((4, examples, wiring.bias.size))
        within = np.ascontiguousarray(within, np.float64)
        steps = settle(*wiring, inputs, targets, within, self.steps, rows)
        if steps < 0:
            raise Divergence(
                "dendritic_error: a voltage still changed by more than "
                f"{max(within.min(), ROUNDING):.2g} after "
                f"{self.steps} steps of {self.step:g}; weaker nudging or a shorter step may help"
            )
        names, hidden = list(_neurons(network)), [p.name for p in network.hidden]
        (soma, interneurons), (basal, _), (firing, _), (pulls, _) = (
            _split(wiring, part) for part in rows
        )
        activity = {INPUT: inputs, CONSTANT: np.ones((examples, 1))}
        activity |= dict(zip(names, firing, strict=True))
        return Circuit(
            soma=dict(zip(names, soma, strict=True)),
            # The output neurons are pulled by the target.
            apical=dict(zip(hidden, pulls[:-1], strict=True)),
            interneuron=dict(zip(hidden, interneurons, strict=True)),
            flow=Activity(dict(zip(names, basal, strict=True)), activity, firing[-1]),
            steps=steps,
        )

    def _wiring(self, network: Network, state: State, nudging: float) -> Wiring:
        neurons, first, top = _neurons(network), network.populations[0], network.output
        units = {name: (own.conductance, own.basal, own.apical) for name, own in neurons.items()}
        units[top.name] = (neurons[top.name].conductance + nudging, units[top.name][1], nudging)
        weights, bias = _synapses(network, first.name)
        match, upward, downward, biases = [0.0], [weights], [np.empty((0, 0))], [bias]
        conductances, blocks = [units[first.name]], [first.size]
        for p in network.returning:
            weights, bias = _synapses(network, p.target)
            down, own, factor = state[p.name], neurons[p.target], self._match(neurons[p.target])
            inner, inner_bias, inhibition = (
                state[f"{p.source}.interneuron_{part}"]
                for part in ("input", "input_bias", "output")
            )
            ideal = (
                np.array_equal(inner, factor * weights)
                and np.array_equal(inner_bias, factor * bias)
                and np.array_equal(inhibition, -down)
            )
            match.append(factor if ideal else 0.0)
            upward.append(weights if ideal else np.concatenate([weights, inner]))
            downward.append(down if ideal else np.concatenate([down, inhibition], axis=1))
            biases += [bias, inner_bias]
            pull = own.leak + self.dendrite + self.interneuron_nudging
            conductances += [units[p.target], (pull, self.dendrite, self.interneuron_nudging)]
            blocks += [len(bias), len(bias)]
        return Wiring(
            sizes=np.array([network.inputs, *(p.size for p in network.populations)]),
            codes=np.array([own.rate.code for own in neurons.values()]),
            match=np.array(match),
            conductances=np.repeat(self.step * np.array(conductances), blocks, axis=0),
            upward=np.concatenate([matrix.T.ravel() for matrix in upward], dtype=np.float64),
            downward=np.concatenate([matrix.T.ravel() for matrix in downward], dtype=np.float64),
            bias=np.concatenate(biases, dtype=np.float64),
        )

    def _match(self, above: TwoCompartment) -> float:
        """Weights of interneurons that predict ``above``, over those of its neurons."""
        return float(above.attenuation * (above.leak + self.dendrite) / self.dendrite)


def _neurons(network: Network) -> dict[str, TwoCompartment]:
    """Two-compartment neurons by population, in forward order."""
    return {
        population.name: population.neurons
        for population in network.populations
        if isinstance(population.neurons, TwoCompartment)
    }


def _synapses(network: Network, name: str) -> tuple[Array, Array]:
    """Weights and bias onto a population; the bias is zero where there is none."""
    weights, bias = None, None
    for p in network.incoming[name]:
        if p.source == CONSTANT:
            bias = network.parameters[p.name]
        else:
            weights = network.parameters[p.name]
    assert weights is not None
    return weights, np.zeros(len(weights), weights.dtype) if bias is None else bias


def _split(wiring: Wiring, rows: Array) -> tuple[list[Array], list[Array]]:
    """Parts of the kernel's rows that belong to neurons and to interneurons, by population."""
    ends = np.cumsum([wiring.sizes[1], *np.repeat(wiring.sizes[2:], 2)]).tolist()
    bounds = zip([0, *ends], ends, strict=False)
    parts = [np.ascontiguousarray(rows[:, start:end]) for start, end in bounds]
    return [parts[0], *parts[1::2]], parts[2::2]
