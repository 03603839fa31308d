"""Feedback alignment: fixed random weights carry the error back."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State


@dataclass(frozen=True)
class FeedbackAlignment(Rule):
    """Feedback alignment (Lillicrap, Cownden, Tweed & Akerman 2016).

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name; with B = W^T the rule is backpropagation.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)`` (1 in Akrout et al. 2019).
    """

    scale: float = 1.0

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through fixed random weights",
        equation="post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W^T in every layer; the output layer always",
        variance_law="0 for given B; over B that of a product of random matrices",
        synapse_knows="pre, slope of its neuron, a private random mixture of the errors above",
        expected=("high", "low"),
        forward_passes=3.0,
        cites="Lillicrap, Cownden, Tweed & Akerman 2016",
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def initial_state(self, network: Network, seed: int) -> State:
        state = {}
        for p in network.returning:
            matrix = p.synapse.transpose(network.parameters[p.name])
            deviation = self.scale / sum(matrix.shape) ** 0.5
            draw = generator(seed, "feedback", p.name).standard_normal(matrix.shape)
            state[p.name] = (deviation * draw).astype(network.dtype)
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
        error = objective.error(clean.output, batch.targets) / batch.size
        feedback = {p.name: p.synapse.untranspose(state[p.name]) for p in network.returning}
        signals = network.credit(clean, {network.output.name: error}, feedback)
        return outers(network, clean, signals)
