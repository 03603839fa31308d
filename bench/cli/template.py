"""The commented plug-in that ``plausibench new-rule`` writes: a rule that runs at once."""

import keyword
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from plausibench.bench.components import registry
from plausibench.bench.running.folders import write_text
from plausibench.kernels.errors import InputError, show

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")

TEMPLATE = '''"""@NAME@: a learning rule of my own.

    plausibench check @NAME@ --plugin @FILE@
    plausibench run --plugin @FILE@ --rules backprop --rules @NAME@

As written it is node perturbation, one-sided. Change estimate() and the card, and run the two
lines above again.
"""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.kernels.errors import positive
from plausibench.rules.estimate import outers
from plausibench.rules.rule import Rule, RuleCard


@dataclass(frozen=True)  # fields are options: @NAME@[sigma=0.01]
class @CLASS@(Rule):
    sigma: float = 1e-3

    # What the rule claims. "check" measures bias and its order, that randomness is as declared, and
    # what a synapse must see.
    card: ClassVar[RuleCard] = RuleCard(
        summary="each neuron correlates its own noise with the change of the loss",
        family="perturbation",  # which pictures draw together: of plausibench.rules.rule.FAMILIES
        equation="post_l = (F(sigma xi) - F(0)) / sigma xi_l,  pre_l = a_(l-1)",
        randomness=frozenset({"rule"}),  # of: feedback, rule, action, spike; empty if none
        unbiased=True,  # is the mean estimate the gradient, up to bias_order?
        bias_order=2,  # power of sigma with which the bias vanishes; leave out if there is none
        exact_when="in expectation as sigma -> 0",
        variance_law="grows with the number of neurons",
        synapse_knows="pre, the noise of its neuron, one global scalar for each example",
        cites="Author & Author 2026",
    )

    def __post_init__(self):
        positive("sigma", self.sigma)  # refuses other values in one sentence

    # Returns the estimate of the gradient, not the change of the weights: no minus sign, no
    # learning rate. B examples, S samples of the estimator, N neurons of a population.
    def estimate(self, network, objective, batch, clean, state, noise):
        # One array (S, B, N) for each population; clean.drive holds their inputs (B, N). All
        # randomness comes from here, so that every example keeps its noise in any order.
        xi = noise.examples(clean.drive)
        noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=self.sigma, clean=clean)
        before = objective.losses(clean.output, batch.targets)  # (B,)
        change = (objective.losses(noisy.output, batch.targets) - before) / self.sigma  # (S, B)
        # A post factor (S, B, N) for each population. The pre factor is its presynaptic activity,
        # and the estimate of a projection is the sum over examples of post times pre.
        post = {name: change[..., None] * drawn / batch.size for name, drawn in xi.items()}
        return outers(network, clean, post)

    # Exact claims, for "check" to measure: Limit, Slope and Law of plausibench.rules.theory.
    # def theory(self):
    #     return (Limit("one draw is not the gradient", lambda at: at, 0.1, holds=False),)

    # A rule that sends errors back instead gets its post factors from
    #     error = objective.error(clean.output, batch.targets) / batch.size
    #     network.credit(clean, {network.output.name: error}, feedback)
    # where feedback, {projection name: weights}, comes from the state that
    # initial_state(self, network, seed) returns.
'''


def template(name: str, file: str | None = None) -> str:
    """Text of a plug-in file that defines the rule ``name``.

    Parameters
    ----------
    name
        Registry name, for example ``my_rule``.
    file
        How the text names its own file; by default ``<name>.py``.

    Raises
    ------
    InputError
        If the name is not in snake case, is a word of Python, or is taken.
    """
    return fill(TEMPLATE, check_name(name), file or f"{name}.py")


def fill(text: str, name: str, file: str) -> str:
    """A template with a name in place of its marks, and how it calls its own file."""
    marks = {
        "@NAME@": name,
        "@CLASS@": class_name(name),
        "@UPPER@": name.upper(),
        "@FILE@": file,
    }
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def check_name(name: str) -> str:
    """Return the name if a new rule can have it.

    Raises
    ------
    InputError
        If the name is not in snake case, is a word of Python, or is taken.
    """
    check_form(name)
    taken = registry.entries("rule").get(name)
    if taken is not None:
        raise InputError(
            f"name: {show(name)} is taken by a rule ({taken.origin}); choose another, "
            f"such as 'my_{name}'"
        )
    return name


def check_form(name: str) -> None:
    """Refuse a name that is not in snake case, or is a word of Python.

    Raises
    ------
    InputError
        If it is.
    """
    if not NAME.fullmatch(name):
        near = snake_case(name)
        hint = f", such as {near!r}" if near else ""
        raise InputError(
            f"name: {show(name)} is not lower-case words that begin with a letter, joined by "
            f"single underscores{hint}"
        )
    if keyword.iskeyword(name):
        raise InputError(f"name: {show(name)} is a word of Python; choose another")


def snake_case(name: str) -> str:
    """Nearest allowed name, or an empty text if there is none."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z][a-z0-9]*", name)
    return "_".join(word.lower() for word in words)


def class_name(name: str) -> str:
    """``my_rule`` -> ``MyRule``, which the registry turns back into ``my_rule``."""
    return "".join(word.capitalize() for word in name.split("_"))


def write_template(name: str, out: Path, text: str = TEMPLATE, *, force: bool = False) -> Path:
    """Write the plug-in file of a new rule, and return its path.

    Parameters
    ----------
    name
        Registry name of the rule.
    out
        The file, or a folder that gets ``<name>.py``.
    text
        The template, with marks in place of the name.
    force
        Whether to replace a file that is there.

    Raises
    ------
    InputError
        If the name cannot be used, or the file is there or cannot be written.
    """
    check_name(name)
    return write_new(name, out, lambda file: fill(text, name, file), force=force)


def write_new(name: str, out: Path, text: Callable[[str], str], *, force: bool) -> Path:
    """Write a plug-in file, and return its path.

    Parameters
    ----------
    name
        Of what it defines.
    out
        The file, or a folder that gets ``<name>.py``.
    text
        From how the file is called to what it holds.
    force
        Whether to replace a file that is there.

    Raises
    ------
    InputError
        If the file is there or cannot be written.
    """
    path = out / f"{name}.py" if os.path.isdir(out) else out
    if path.suffix != ".py":
        raise InputError(f"out: {show(str(out))} is not an existing folder or a file named *.py")
    if os.path.exists(path) and not force:
        raise InputError(f"out: {path} is there already; --force replaces it")
    write_text(path, text(shlex.quote(path.as_posix())))
    return path
