"""The conformance suite: what every learning rule must pass. It needs no pytest.

A plug-in's whole test file::

    import pytest
    from my_package.my_rule import MyRule
    from plausibench.bench.conformance import checks

    @pytest.mark.parametrize(("name", "check"), checks(MyRule()))
    def test_conformance(name, check):
        check()
"""

from plausibench.bench.conformance.case import Case, case_for
from plausibench.bench.conformance.outcome import Outcome
from plausibench.bench.conformance.suite import CHECKS, NAMES, checks, run_checks

__all__ = ["CHECKS", "NAMES", "Case", "Outcome", "case_for", "checks", "run_checks"]
