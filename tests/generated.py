"""Results as a run gives them, made up: for the tests of tables, pictures and pages."""

import math

import numpy as np
import pandas as pd

IDENTITY = ("task", "architecture", "objective", "rule", "seed", "protocol")
NAN = float("nan")

RULES = {  # relative bias² and variance at initialisation; no bias: sampled and unbiased
    "backprop": (0.0, 0.0),
    "feedback_alignment": (1.6, 0.0),
    "direct_feedback_alignment": (1.4, 0.0),
    "weight_perturbation": (None, 2800.0),
    "node_perturbation": (None, 40.0),
    "attention_gated": (1e-31, 8.0),
    "brainprop": (3e-31, 1.2),
    "dendritic_error": (2e-4, 0.0),
    "dendritic_error[feedback=random]": (1.2, 0.0),
}
REFERENCES = {
    "attention_gated": "gradient of the cross-entropy",
    "brainprop": "gradient of the squared error weighted by the policy, policy held",
}
HOSTILE = r"<script>&_%$\ {x}*|`~^#"


class Generator:
    """Results as a run gives them: plausible, with the accuracy that sampling leaves."""

    def __init__(self, seeds=5, steps=(0, 100, 1000), protocols=("shared", "own"), rules=None):
        self.rng = np.random.default_rng(0)
        self.rows, self.units = [], []
        for rule in RULES if rules is None else rules:
            for seed in range(seeds):
                for protocol in protocols:
                    self._unit(rule, seed, protocol, steps)

    def _unit(self, rule, seed, protocol, steps):
        dendritic = rule.startswith("dendritic")
        self.unit = {
            "task": "digits",
            "architecture": "dendritic" if dendritic else "mlp",
            "objective": "mean_squared_error" if dendritic else "cross_entropy",
            "rule": rule,
            "seed": seed,
            "protocol": protocol,
        }
        diverges = rule == "weight_perturbation" and protocol == "own" and seed in (1, 3)
        reason = "the weights are not finite after 612 training steps" if diverges else ""
        status = "diverged" if diverges else "done"
        self.units.append({**self.unit, "status": status, "reason": reason})
        for place, step in enumerate(steps):
            if not (diverges and place == len(steps) - 1):
                self._cell(rule, protocol, place, step)

    def _cell(self, rule, protocol, place, step):
        bias, variance = RULES.get(rule, (0.3, 2.0))
        self.about = {
            "step": step,
            "projection": "all",
            "reference": REFERENCES.get(rule, "gradient of the objective"),
            "effective_dimension": NAN,
            "flag": "",
        }
        scale = math.exp(0.15 * self.rng.normal())
        variance *= scale * (1 + place)
        sampled = bias is None
        if sampled:
            half = 3e-4 * variance
            bias = half / 2.1 * self.rng.normal()
        else:
            half = 0.0
            bias *= scale
        method = "sampled" if sampled else "enumerated" if variance else "exact"
        redrawn = "rule" if sampled else "action" if variance else "nothing"
        for projection, factor in (("all", 1.0), ("layer1.weights", 1.3)):
            how = {"projection": projection, "method": method, "redrawn": redrawn}
            self._measured("conditional", factor * bias, half, factor * variance, **how)
        if rule.startswith(("feedback", "direct")) and protocol == "shared":
            how = {"method": "sampled", "redrawn": "feedback", "samples": 400}
            self._measured("marginal", scale, 0.1, 2.5 * scale, **how)
        for quantity, value in (("forward_passes", 2.0 if sampled else 3.0), ("state_size", 0.0)):
            self._add("cost", quantity, value, NAN, method="exact")
        accuracy = 0.9 - 0.8 * math.exp(-step / 200) + 0.01 * self.rng.normal()
        for quantity, value in (
            ("train_loss", 2.4 * (1 - accuracy)),
            ("test_loss", 2.5 * (1 - accuracy)),
            ("test_accuracy", accuracy),
            ("alignment", 1 / math.sqrt(1 + max(bias, 0) + variance)),
        ):
            self._add("training", quantity, value, NAN, method="exact")
        for level in range(9 if variance else 1):
            cosine = 1 / math.sqrt((1 + variance / 2**level) * (1 + max(bias, 0)))
            self._add("averaging", "cosine", cosine, 0.01, samples=2**level, method="sampled")
        if protocol == "shared":
            feedback = 2.0 if redrawn == "feedback" else 0.0
            data = 0.8 + variance * self.rng.normal() / 40
            total = feedback + data + variance
            for quantity, value, wide in (
                ("variance_feedback", feedback, 0.0),
                ("variance_data", data, 0.2 + variance / 20),
                ("variance_within", variance, variance / 10),
                ("variance_total", total, total / 10),
            ):
                self._add("budget", quantity, value, wide, redrawn="data")

    def _measured(self, kind, bias, half, variance, **how):
        for quantity, value, wide in (
            ("bias_squared", bias, half),
            ("variance", variance, 0.03 * variance if how["method"] == "sampled" else 0.0),
            ("direction_bias", bias / 3, half / 3),
            ("magnitude_bias", bias / 9, half / 3),
            ("scale_free_bias", bias / 2, half / 2),
            ("gain", 1 - bias / 3, half / 3),
            ("progress", 1 / (1 + abs(bias) + variance), 0.0),
            ("absolute_bias_squared", bias / 50, half / 50),
            ("absolute_variance", variance / 50, 0.0),
        ):
            self._add(kind, quantity, value, wide, **how)

    def _add(self, kind, quantity, value, half, **how):
        row = {"samples": 4000, "redrawn": "nothing", "method": "sampled", **self.about, **how}
        ends = {"value": value, "low": value - half, "high": value + half}
        self.rows.append({**self.unit, "kind": kind, "quantity": quantity, **ends, **row})


def generate(**options):
    made = Generator(**options)
    return pd.DataFrame(made.rows), pd.DataFrame(made.units)


def values(numbers, quantity="variance", kind="conditional", rule="my_rule", **more):
    """Rows of one quantity, one per seed."""
    numbers = np.asarray(numbers, dtype=float)
    row = {
        "task": "digits",
        "architecture": "mlp",
        "objective": "cross_entropy",
        "rule": rule,
        "seed": np.arange(len(numbers)),
        "protocol": "shared",
        "step": 0,
        "kind": kind,
        "projection": "all",
        "quantity": quantity,
        "value": numbers,
        "low": numbers - 1,
        "high": numbers + 1,
        "samples": 1000,
        "redrawn": "rule",
        "reference": "gradient of the objective",
        "method": "sampled",
        "effective_dimension": 50.0,
        "flag": "",
    }
    return pd.DataFrame({**row, **more})
