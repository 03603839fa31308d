"""``check --against`` says whether a function of a user's is a rule of ours."""

import textwrap

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from plausibench import bench
from plausibench.rules.foreign import FunctionRule
from plausibench.rules.rule import RuleCard


@dataclass(frozen=True)
class Summed(FunctionRule):
    card: ClassVar[RuleCard] = RuleCard(
        summary="the gradient, summed over the batch",
        equation="sum of gradients",
        randomness=frozenset(),
        unbiased=False,
        exact_when="a batch of one",
        variance_law="0",
        synapse_knows="everything",
        cites="Author 2026",
    )

    def unsupported(self, network, objective):
        return None if network.architecture == "mlp" else "it is written for mlp"

    def update(self, parameters, batch, rng, state):
        network = bench.make("architecture", "mlp", sizes=[6, 5, 4, 3])
        objective = bench.make("objective", "cross_entropy")
        at = network.with_parameters(parameters)
        exact = bench.gradient(at, objective, batch)
        return {name: batch.size * g for name, g in exact.items()}
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Run ``check`` with arguments beside a plug-in."""
    (tmp_path / "summed.py").write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["check", *words])


def test_it_is_the_rule_times_the_batch(asked):
    told = asked("summed", "--against", "backprop")
    assert told.exit_code == 0, told.output
    assert "It is backprop, times 8 (the sum over the batch, not its mean)" in told.output


def test_another_rule_ends_with_1(asked):
    told = asked("summed", "--against", "hebb")
    assert told.exit_code == 1
    assert "It is not hebb" in told.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--all", "--against", "hebb"), "against: name one rule, without --all and --out"),
        (("backprop", "--against", "hebb"), "rule: 'backprop' is no FunctionRule"),
        (("summed", "--against", "heb"), "did you mean 'hebb'"),
    ],
)
def test_refusals(words, sentence, asked):
    told = asked(*words)
    assert told.exit_code != 0
    assert sentence in str(told.exception or "") + told.output


def test_a_function_in_pytorch_is_written_and_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["new-rule", "my_torch_rule", "--torch"]).exit_code == 0
    told = CliRunner().invoke(main, ["check", "my_torch_rule"])
    assert told.exit_code == 0, told.output
    told = CliRunner().invoke(main, ["check", "my_torch_rule", "--against", "backprop"])
    assert "It is backprop: what is left" in told.output
