"""Target propagation: layers learn to reach targets that approximate inverses send down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.rules.rule import RuleCard
from plausibench.rules.targets import Targets


@dataclass(frozen=True)
class TargetPropagation(Targets):
    """Target propagation (Bengio 2014): the target is what the path back makes of that above.

    Where the path back does not invert the layers, its error is taken for a target.
    """

    target_step: float = 5.0
    feedback_rate: float = 0.9

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"target_step": (1.0, 5.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="each layer moves towards the target that an approximate inverse sends down",
        family="targets",
        learns_without_error=True,
        equation="t_L = a_L - target_step dF/da_L,  t_l = g_l(t_(l+1)),  "
        "post_l = (a_l - t_l) f_l'(z_l) / target_step,  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="linear layers with orthogonal weights and exact inverses; the output layer",
        variance_law="0 for given feedback",
        synapse_knows="pre, slope, activity and target of its neuron",
        forward_passes=3.0,
        cites="Bengio 2014",
        notes=(
            "exact inverses give a step of Gauss-Newton kind, not the gradient: a bias by design. "
            "Paths back learn by reconstruction as the network learns; before, they are "
            "random, and what they miss divided by target_step swamps the signal, the more so the "
            "smaller the error at the output: it does not vanish with it. Hence a long target_step "
            "and a fast feedback_rate by default, which are ours, from trials on digits, where "
            "networks with 0.22 and 0.1 went on guessing"
        ),
        unverified="schedules of the paper",
    )
    corrected: ClassVar[bool] = False
