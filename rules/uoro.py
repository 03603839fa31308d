"""Unbiased online recurrent optimisation: the influence of all weights, to rank one."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates
from plausibench.rules.influence import layers, stateful
from plausibench.rules.noise import Noise
from plausibench.rules.rank_one import rank_one
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, squared_bias

DRAWS = 4000


@dataclass(frozen=True)
class Uoro(Rule):
    r"""Unbiased online recurrent optimisation (Tallec & Ollivier 2018).

    The influence of the weights on the state, carried by real-time recurrent learning, is
    replaced by an outer product :math:`\tilde s \tilde\theta^T` of the same mean:

    .. math:: \tilde s_t = \rho_0 J_t \tilde s_{t-1} + \rho_1 \nu_t, \qquad
       \tilde\theta_t = \tilde\theta_{t-1} / \rho_0
       + \nu_t^T \partial h_t / \partial\theta / \rho_1, \qquad
       \hat g = \sum_t (\partial F_t / \partial h_t \cdot \tilde s_t)\, \tilde\theta_t,

    with signs :math:`\nu_t` and factors that make both parts of each sum alike in length. Every
    trial has a state and signs of its own. The readout learns from its errors, exactly.

    Parameters
    ----------
    epsilon
        Added to lengths, so that a factor of nothing is 1.
    """

    epsilon: float = 1e-5

    card: ClassVar[RuleCard] = RuleCard(
        summary="random signs stand in for the influence of all weights on all neurons",
        family="through time",
        equation=(
            "s_t = r0 J_t s_(t-1) + r1 nu_t,  th_t = th_(t-1) / r0 + nu_t^T dh_t/dw / r1,  "
            "g = sum_t (dF_t/dh_t . s_t) th_t"
        ),
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation, for weights that are held during a trial",
        variance_law="no closed form; it grows with the trial and with the number of neurons",
        synapse_knows="its own number th, and a global scalar at every step",
        forward_passes=4.0,
        no_more_than_readout=(
            "on digits row by row after 500 steps: its noise allows a learning rate of a "
            "ninth of that of backpropagation through time, and five seeds do not tell it "
            "apart from the null"
        ),
        cites="Tallec & Ollivier 2018",
        phases="one, forwards",
        notes="for leaky rates and a readout without a state; the readout's own weights are exact",
        weight_transport=True,
        unverified="bias where weights change during a trial, as they do online",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        course = layers(network, objective, batch, clean)
        return {**rank_one(course, noise, self.epsilon), **course.readout()}

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law(
                f"squared bias of {DRAWS} draws, relative to |g|^2",
                lambda at: squared_bias(at, DRAWS),
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("uoro", network)
