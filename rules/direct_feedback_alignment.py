"""Direct feedback alignment: the output error is broadcast to every layer."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import over_feedback
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State


@dataclass(frozen=True)
class DirectFeedbackAlignment(Rule):
    """Direct feedback alignment (Nokland 2016).

    The state holds a matrix B ``(N_l, N_L)`` for every hidden population, under the
    population's name.

    Parameters
    ----------
    scale
        Entries of B are uniform on ``+- scale / N_l^(1/2)``.
    """

    scale: float = 1.0

    card: ClassVar[RuleCard] = RuleCard(
        summary="the output error reaches every layer through its own fixed random weights",
        equation="post_L = delta_L,  post_l = (B_l delta_L) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="one hidden layer with B = W^T; a linear network with B_l = (W_L ... W_(l+1))^T",
        variance_law="0 for given B; over B, s^2 ||f_l'||^2 ||delta_L||^2 for each example",
        synapse_knows="pre, slope of its neuron, a private random mixture of the output errors",
        expected=("high", "low"),
        forward_passes=2.5,
        cites="Nokland 2016",
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def initial_state(self, network: Network, seed: int) -> State:
        outputs = network.output.size
        state = {}
        for population in network.hidden:
            bound = self.scale / population.size**0.5
            draw = generator(seed, "feedback", population.name).uniform(
                -bound, bound, (population.size, outputs)
            )
            state[population.name] = draw.astype(network.dtype)
        return state

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
        error = objective.error(clean.output, batch.targets) / batch.size
        delta = network.credit(clean, {top: error}, feedback={})[top]
        arriving = {name: delta @ matrix.T for name, matrix in state.items()}
        signals = network.credit(clean, {top: error, **arriving}, feedback={})
        return outers(network, clean, signals)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over B, whose entries are independent with mean 0 and variance scale^2 / (3 N_l)."""
        error = objective.error(clean.output, batch.targets) / batch.size
        top = network.credit(clean, {network.output.name: error}, feedback={})
        output = top[network.output.name] @ top[network.output.name].T
        inner = {network.output.name: output}
        for population in network.hidden:
            name = population.name
            slope = population.neurons.slope(clean.drive[name], clean.activity[name])
            inner[name] = self.scale**2 / (3 * population.size) * (slope @ slope.T) * output
        return over_feedback(network, clean, top, inner)
