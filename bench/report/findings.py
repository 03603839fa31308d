"""What a run found, in plain sentences made from its numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from plausibench.bench.report import nulls, style
from plausibench.bench.report.aggregate import aggregate, settings
from plausibench.kernels.errors import counted

SMALL = 1e-3
"""Share of |g|² below which a bias or a variance is not named with its size."""
NAMED = 3
"""Rules that a sentence names."""

Sized = tuple[str, Sequence[float]]
"""A rule with its values over settings."""


@dataclass(frozen=True)
class Finding:
    """A sentence with the word that stands before it."""

    about: str
    sentence: str


def findings(frame: pd.DataFrame, units: pd.DataFrame) -> tuple[str, list[Finding]]:
    """Who is biased, who is noisy, who learns hidden layers, what nulls reach, what is missing.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a benchmark, and its units of work.

    Returns
    -------
    str
        When that was: at the last checkpoint of the rules' own training where there is one, else
        of the shared weights.
    list of Finding
        At most five. A sentence that the run has no numbers for is left out.
    """
    occasion, found = "", []
    if not nulls.parted(frame)[0].empty:
        values = aggregate(nulls.beside(frame[frame["projection"] == "all"]))
        protocol = "own" if (values["protocol"] == "own").any() else values["protocol"].iloc[0]
        values = values[values["protocol"] == protocol].assign(setting=settings)
        values = values[values["step"] == values.groupby("setting")["step"].transform("max")]
        steps = " or ".join(map(str, sorted(values["step"].unique())))
        several = "; a range is over tasks" if values["setting"].nunique() > 1 else ""
        occasion = f"After {steps} steps of {_TRAINING.get(protocol, protocol)}{several}."
        found = [_biased(values), _noisy(values), _learned(values), _compared(frame, values)]
    return occasion, [finding for finding in (*found, _missing(units)) if finding is not None]


_TRAINING = {"own": "each rule's own training", "shared": "training by backpropagation"}


def _biased(values: pd.DataFrame) -> Finding | None:
    return _sizes(values, "bias_squared", "Bias", "bias²")


def _noisy(values: pd.DataFrame) -> Finding | None:
    return _sizes(values, "variance", "Noise", "variance", "none on a given batch")


def _sizes(
    values: pd.DataFrame, quantity: str, about: str, unit: str, none: str = ""
) -> Finding | None:
    """Rules of which a quantity is large anywhere, is small everywhere, or neither is known.

    Those of which it is exactly 0 everywhere are told apart where there is a word for it, ``none``.
    """
    rows = values[(values["kind"] == "conditional") & (values["quantity"] == quantity)]
    rows = rows[rows["value"].notna()]
    large: list[Sized] = []
    small: list[Sized] = []
    unknown: list[Sized] = []
    absent: list[Sized] = []
    for rule, part in rows.groupby("rule"):
        bounded, zero = part["state"] == "bounded", part["state"] == "zero"
        known = part["value"].mask(zero, 0.0)[~bounded].tolist()
        if max(known, default=0.0) >= SMALL:
            large.append((str(rule), known))
        elif none and zero.all():
            absent.append((str(rule), ()))
        elif (part["bound"][bounded] < SMALL).all():
            small.append((str(rule), ()))
        else:
            unknown.append((str(rule), ()))
    said = [
        f"most ({unit} in units of |g|²): {_named(_falling(large))}" if large else "",
        f"less than {SMALL:g}: {_named(small)}" if small else "",
        f"{none}: {_named(absent)}" if absent else "",
        f"not told apart from 0: {_named(unknown)}" if unknown else "",
    ]
    return _finding(about, said)


def _learned(values: pd.DataFrame) -> Finding | None:
    """By how much accuracies are above those with frozen hidden layers, told apart by interval."""
    rows = values[(values["kind"] == "null") & (values["quantity"] == "above_readout_only")]
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return None
    known = rows["low"].notna() & rows["high"].notna()
    sign = (rows["low"] > 0).astype(int) - (rows["high"] < 0).astype(int)
    by_rule = rows.assign(sign=sign.where(known, 0)).groupby("rule", sort=False)
    groups: dict[str, list[Sized]] = {}
    for rule, part in by_rule:
        signs = set(part["sign"])
        above = "everywhere" if signs == {1} else "in part" if 1 in signs else "nowhere"
        worse = above == "nowhere" and signs == {-1}
        key = "worse" if worse else above
        groups.setdefault(key, []).append((str(rule), part["value"].tolist()))
    everywhere = " on every task" if rows["setting"].nunique() > 1 else ""
    texts = {
        "everywhere": f"above frozen hidden layers{everywhere} (gain in test accuracy)",
        "in part": "on some tasks",
        "nowhere": "not told apart from frozen hidden layers",
        "worse": "below frozen hidden layers",
    }
    said = [
        f"{text}: {_named(_falling(groups[key]))}" for key, text in texts.items() if key in groups
    ]
    return _finding("Hidden layers", said)


def _compared(frame: pd.DataFrame, values: pd.DataFrame) -> Finding | None:
    """What the nulls reach beside the best rule of each setting, and what that task cannot show."""
    courses = nulls.courses(frame)
    courses = courses[courses["quantity"] == "test_accuracy"]
    accurate = values[values["quantity"] == "test_accuracy"]
    said = []
    for setting, rows in accurate.groupby("setting", sort=False):
        if not rows["value"].notna().any():
            continue
        best = rows.sort_values("value", ascending=False, kind="stable").iloc[0]
        same = (courses[nulls.PLACE] == best[nulls.PLACE].tolist()).all(axis=1)
        beside = courses[same & (courses["step"] == best["step"])]
        levels = dict(zip(beside["null"], beside["value"], strict=True))
        reached = [f"{name} {levels[null]:.3f}" for null, name in _CALLED.items() if null in levels]
        top = f"{style.label(str(best['rule']))} {best['value']:.3f}"
        idle = levels.get("linear", 0.0) >= best["value"]
        limit = f", so {setting} cannot show that hidden layers help" if idle else ""
        said.append(f"{setting}: {', '.join([top, *reached])}{limit}")
    return Finding("Best accuracy", f"{'; '.join(said)}.") if said else None


_CALLED = {
    "readout only": "frozen hidden layers",
    "linear": "no hidden layers",
    "chance": "chance",
}


def _missing(units: pd.DataFrame) -> Finding:
    bad = units[units["status"] != "done"]
    if bad.empty:
        return Finding("Missing", f"Nothing; all {counted(len(units), 'job')} ended.")
    said = []
    for status, part in bad.groupby("status", sort=False):
        who = dict.fromkeys(style.label(str(rule)) for rule in part["rule"])
        state = "not computed yet" if status == "due" else str(status)
        said.append(f"{len(part)} of {counted(len(units), 'job')} {state} ({_listed(who)})")
    return Finding("Missing", _sentence(said))


def _falling(rules: list[Sized]) -> list[Sized]:
    return sorted(rules, key=lambda pair: -max(pair[1]))


def _named(rules: Sequence[Sized]) -> str:
    """Rules, each with the range of its values if it has some."""
    return _listed(f"{style.label(rule)} {_range(numbers)}".strip() for rule, numbers in rules)


def _range(numbers: Sequence[float]) -> str:
    if not numbers:
        return ""
    low, high = _short(min(numbers)), _short(max(numbers))
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    """Two digits, without an exponent where a reader can do without."""
    if abs(value) < SMALL / 10:
        return f"{value:.0e}" if value else "0"
    rounded = float(f"{value:.2g}")
    text = f"{rounded:,.0f}" if abs(rounded) >= 10 else f"{rounded:g}"
    return text.replace("-", "−")


def _listed(texts: Iterable[str]) -> str:
    names = list(texts)
    rest = len(names) - NAMED
    if rest > 1:
        names = [*names[:NAMED], f"and {rest} more"]
    return ", ".join(names)


def _finding(about: str, parts: Sequence[str]) -> Finding | None:
    said = [part for part in parts if part]
    return Finding(about, _sentence(said)) if said else None


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
