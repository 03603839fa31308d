"""What a learning rule is, and the card on which it declares its theory."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import choose
from plausibench.kernels.plain import PlainOptions
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates
from plausibench.rules.layers import in_double
from plausibench.rules.noise import Noise

if TYPE_CHECKING:
    from plausibench.rules.theory import Claim

Array = np.ndarray
State = dict[str, Array]

Choices = Mapping[str, tuple[str, ...]]
"""All values of options that are one of some words."""

OTHERS = "others"
FAMILIES = (
    "backpropagation",
    "fixed feedback",
    "learned feedback",
    "perturbation",
    "random units and actions",
    "energies",
    "dendrites",
    "targets",
    "through time",
    "aims of a layer",
    "controls",
    OTHERS,
)
"""What rules can have in common, in the order of pictures and legends."""


@dataclass(frozen=True)
class RuleCard:
    """What a rule declares about itself.

    Attributes
    ----------
    summary
        One line.
    family
        One of ``FAMILIES``, which pictures draw alike and together.
    equation
        The estimate, in plain text.
    randomness
        Which of the named sources (feedback, rule, action, spike) the estimate depends on.
    unbiased
        Whether the expected estimate equals the reference gradient, up to ``bias_order``.
    exact_when
        The condition under which it equals backpropagation or its reference.
    bias_order
        Power of the small parameter (named in ``exact_when``) with which the bias vanishes.
    variance_law
        Closed form of the variance, in plain text.
    synapse_knows
        What one synapse must know.
    reference
        What the estimate is judged against.
    expected
        Coarse place (bias, variance) in the sketch of Richards et al. 2019 Fig. 2, on the
        scale none, low, high; None where the figure says nothing.
    questioned
        Whether the figure puts a question mark on the rule.
    forward_passes
        Cost of one estimate in forward-pass equivalents.
    cites
        Author and year of the sources.
    notes
        What a reader should know besides.
    weight_transport
        Whether a synapse's update needs the forward weights of others on the way back; said
        where the audit of :mod:`plausibench.bench.conformance.locality` cannot see it, which
        else measures it.
    phases
        What has to happen one after the other for one estimate, in plain text.
    sign_constraints
        Which weights or activities must keep their sign, in plain text.
    unverified
        What of the source is left out, or in the tree without a test of its own, in plain text.
    learns_without_error
        Whether weights change where the output has no error.
    no_more_than_readout
        Why it teaches hidden layers nothing that helps, in plain text, if its networks are no
        more accurate than with frozen hidden layers on one of the tasks of the study learning.

    Raises
    ------
    InputError
        If there is no such family.
    """

    summary: str
    equation: str
    randomness: frozenset[str]
    unbiased: bool
    exact_when: str
    variance_law: str
    synapse_knows: str
    cites: str
    reference: str = "gradient of the objective"
    bias_order: int | None = None
    expected: tuple[str, str] | None = None
    questioned: bool = False
    forward_passes: float = 3.0
    notes: str = ""
    weight_transport: bool | None = None
    phases: str = ""
    sign_constraints: str = "none"
    unverified: str = ""
    family: str = OTHERS
    learns_without_error: bool = False
    no_more_than_readout: str = ""

    def __post_init__(self) -> None:
        choose("family", self.family, FAMILIES)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of learning, as a rule that learns its feedback sees it.

    Attributes
    ----------
    network
        After the step.
    objective, batch, clean
        The step's batch and the undisturbed pass over it, before the step.
    applied
        Change of each parameter by the learning rule, decay left out; zeros where the weights
        were held.
    decay
        Share that every parameter lost besides.
    noise
        Draws of one sample.
    """

    network: Network
    objective: Objective
    batch: Batch
    clean: Activity
    applied: dict[str, Array]
    decay: float
    noise: Noise


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """Mean ``(*shape)`` and total variance of an estimator, per parameter."""

    mean: dict[str, Array]
    variance: dict[str, float]


@dataclass(frozen=True, eq=False)
class Companion:
    """An estimate from a rule's own draws whose mean is known: what a rule would be without bias.

    Subtracted from the rule's estimate, it takes the noise away that both have; what is left is
    what the rule makes of its draws besides, and shows a bias that the noise would hide.

    Attributes
    ----------
    estimate
        Estimates from the noise that the rule's ``estimate`` is given. It asks for what the rule
        asks for, and must not write to it.
    mean
        Exact mean over draws per parameter, ``(*shape)`` in float64.
    variance
        Total variance per parameter where examples have noise of their own and weights are not
        shared; None where it is not known.
    floor
        Squared bias per parameter that rounding of the rule's estimate may make.
    odd
        Estimates to be subtracted besides, which change their sign with the noise: their mean is 0,
        and they do not go with those of ``estimate``, which do not change it.
    """

    estimate: Callable[[Noise], Estimates]
    mean: dict[str, Array]
    variance: dict[str, float] | None = None
    floor: Mapping[str, float] = field(default_factory=dict)
    odd: Callable[[Noise], Estimates] | None = None


class Rule(metaclass=PlainOptions):
    """Maps activity and objective to an estimate of the gradient.

    A rule is a frozen dataclass whose fields are its options. It holds no state: what it
    carries from step to step, such as feedback weights, is a dict that the caller keeps.
    """

    card: ClassVar[RuleCard]

    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward"})
    """Dynamics of the networks in which the estimate is as the card says."""

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values of an option that a search for the best training tries, besides learning rates."""

    choices: ClassVar[Choices] = {}
    """All values of every option that is one of some words, so that variants can be listed."""

    paper_setting: ClassVar[Mapping[str, Any]] = {}
    """Where the rule's paper trains it, and how, if not as is common for rules.

    The common setting is a tanh perceptron, the cross-entropy and plain descent, the same factor
    for all layers. A search that is asked for settings of papers takes, in place of it:

    - ``architecture``, ``objective``: selectors, such as ``"hopfield[output=sigmoid]"``;
    - ``momentum``: of plain descent, from 0 to below 1;
    - ``layer_rates``: factors of the learning rates of the layers, as an optimiser takes them;
    - ``learning_rates``: lowest and highest rate that plain descent begins to search with, where
      the common range cannot hold the best.
    """

    needs_classes: ClassVar[bool] = False
    """Whether targets have to be integer classes."""

    needs_losses: ClassVar[bool] = False
    """Whether the estimate needs the loss of every single example."""

    keyed: ClassVar[bool] = True
    """Whether the draws of an example go with its key, wherever it stands in the batch."""

    double: ClassVar[bool] = False
    """Whether the estimate is computed in float64 for a network of any type."""

    @abstractmethod
    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate the gradient of the batch's mean loss.

        Parameters
        ----------
        network, objective, batch
            The cell.
        clean
            The undisturbed forward pass over ``batch.inputs``.
        state
            The rule's state; not to be changed.
        noise
            Draws for the samples asked for.

        Returns
        -------
        dict
            One estimate for each projection, with a sample axis S in front where samples
            differ.
        """

    def randomness(self) -> frozenset[str]:
        """Sources of randomness with these options; by default those on the card."""
        return self.card.randomness

    def initial_state(self, network: Network, seed: int) -> State:
        """State before any learning; feedback weights come from the stream ``feedback``."""
        return {}

    def advance(self, state: State, step: Step) -> State:
        """State after a step of learning; ``state`` itself is not to be changed."""
        return state

    def state_axes(self, network: Network) -> Axes:
        """Population whose neurons each axis of each array of the state belongs to.

        None for an axis without neurons. When neurons change places their state moves with them.
        """
        return {}

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, Array] | None:
        """Gradient the rule is judged against; None for that of the objective."""
        return None

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Mean and variance over the sources that are redrawn; None where no form is known.

        For a rule with a small parameter they are those of the limit in which it is exact.
        """
        return None

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """What to subtract from the estimates, draw by draw, to see their bias; None without one.

        Its mean holds whatever the size of the noise, and includes all sources of randomness but
        feedback.
        """
        return None

    def scores(self, network: Network, inputs: Array) -> Array | None:
        """Score of every class by which a network that this rule trained answers, ``(B, A)``.

        None where it answers by its output. Accuracy asks for it wherever a trained network is
        tested; losses are those of the output.
        """
        return None

    def signal_share(self, network: Network) -> float:
        """Size of the signal that synapses compare, relative to the error at the output.

        Rounding of activities is that much larger in the estimate.
        """
        return 1.0

    def rounding(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> float:
        """Relative error that rounding alone leaves in the estimate, in order of magnitude.

        Errors at the output are differences of activities, whose digits they lose as a task is
        learned. 1 where no digit is left.
        """
        if self.double:
            network, batch, clean = in_double(network, batch, clean)
        unit = np.finfo(network.dtype).eps
        largest = max(1.0, float(np.abs(clean.output).max()))
        error = batch.size * float(np.abs(objective.batch_error(clean.output, batch)).max())
        signal = self.signal_share(network) * error
        # Negated, so that errors that are not numbers have no digits.
        return float(unit * largest / signal) if signal > unit * largest else 1.0

    def theory(self) -> "tuple[Claim, ...]":
        """Exact limits, slopes and laws of the rule with these options, to be measured.

        Mean, variance and order of the bias need no entry: they are declared by
        ``closed_form`` and by the card.
        """
        return ()

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        """Why the rule cannot run on this network with this objective; None if it can.

        To be asked through :meth:`refusal`, which knows of the network's dynamics.
        """
        return None

    def refusal(self, network: Network, objective: Objective) -> str | None:
        """Why the rule is not to be run on this network with this objective; None if it may."""
        if network.dynamics not in self.dynamics:
            return (
                f"{type(self).__name__} is a rule for {' and '.join(sorted(self.dynamics))} "
                f"networks; {network.architecture} is {network.dynamics}"
            )
        if objective.couples_examples:
            loss = type(objective).__name__
            if self.needs_losses:
                return (
                    f"{type(self).__name__} needs the loss of each example; {loss} couples the "
                    "examples of a batch"
                )
            if network.dynamics not in ("feedforward", "settling"):
                return (
                    f"{loss} couples the examples of a batch, which is not defined for activity "
                    f"that is {network.dynamics}, as in {network.architecture}"
                )
        reason = self.unsupported(network, objective)
        return network.intractable() if reason is None else reason


class SampledAction(Rule):
    """A rule that learns from one sampled action for each example.

    Actions of different examples are independent, so mean and variance over actions follow
    exactly from one response per action.
    """

    needs_classes: ClassVar[bool] = True

    @abstractmethod
    def policy(self, clean: Activity) -> Array:
        """Probability of each action, ``(B, A)``."""

    @abstractmethod
    def respond(
        self, network: Network, batch: Batch, clean: Activity, state: State, actions: Array
    ) -> Estimates:
        """Estimates ``(S, B, N)`` for actions ``(S, B)``, examples not yet summed."""

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from one sampled action per example."""
        return self.respond(network, batch, clean, state, noise.actions(self.policy(clean)))
