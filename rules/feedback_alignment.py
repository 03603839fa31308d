"""Feedback alignment: fixed random weights carry the error back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.kernels.errors import positive
from plausibench.rules.random_feedback import LayerwiseFeedback, symmetric
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit


@dataclass(frozen=True)
class FeedbackAlignment(LayerwiseFeedback):
    """Feedback alignment (Lillicrap, Cownden, Tweed & Akerman 2016).

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name; with B = W^T the rule is backpropagation.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)`` (1 in Akrout et al. 2019).
    """

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (1.0, 2.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through fixed random weights",
        family="fixed feedback",
        equation="post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W^T in every layer; the output layer always",
        variance_law="0 for given B; over B that of a product of random matrices",
        synapse_knows="pre, slope of its neuron, a private random mixture of the errors above",
        expected=("high", "low"),
        forward_passes=3.0,
        cites="Lillicrap, Cownden, Tweed & Akerman 2016",
        phases="forward, then backward",
        unverified=(
            "the uniform law and the scales of B set by hand in the paper: those here are of the "
            "code of Akrout et al. 2019"
        ),
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )
