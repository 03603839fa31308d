"""Difference target propagation: targets corrected for what the inverse misses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from plausibench.rules.rule import RuleCard
from plausibench.rules.targets import Targets, linearised
from plausibench.rules.theory import Claim, Situation, Slope


@dataclass(frozen=True)
class DifferenceTargetPropagation(Targets):
    """Difference target propagation (Lee, Zhang, Fischer & Bengio 2015).

    A layer that already is where it should be gets its own activity for a target, however bad
    the path back is.
    """

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"feedback_rate": (0.1, 0.9)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="target propagation that cancels the error of reconstruction of the inverse",
        family="targets",
        equation="t_L = a_L - target_step dF/da_L,  t_l = a_l + g_l(t_(l+1)) - g_l(a_(l+1)),  "
        "post_l = (a_l - t_l) f_l'(z_l) / target_step,  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="linear layers with orthogonal weights and exact inverses; the output layer",
        variance_law="0 for given feedback",
        synapse_knows="pre, slope, activity and target of its neuron",
        forward_passes=3.5,
        cites="Lee, Zhang, Fischer & Bengio 2015; Meulemans et al. 2020",
        notes=(
            "exact inverses give a step of Gauss-Newton kind, not the gradient: a bias by design. "
            "Paths back learn by reconstruction as the network learns; before, they are "
            "random. The default noise is that of the code of Meulemans et al. 2020, whose step of "
            "0.22 goes with a loss averaged over a batch of 128: 0.0017 an example, ours 0.22. In "
            "trials on digits both learned alike"
        ),
        unverified=(
            "schedules and optimisers of the paper; the difference reconstruction loss of "
            "Meulemans et al. 2020"
        ),
    )
    corrected: ClassVar[bool] = True

    def theory(self) -> tuple[Claim, ...]:
        def shorten(at: Situation, target_step: float) -> Situation:
            return replace(at, rule=replace(self, target_step=target_step))

        return (
            *super().theory(),
            Slope(
                "target_step -> 0: error through the derivatives of the paths back",
                shorten,
                power=1,
                smallest=1e-3,
                tolerance=1e-2,
                expected=linearised,
            ),
        )
