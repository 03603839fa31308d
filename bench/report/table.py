"""The comparison table: rules side by side, every number with its interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from plausibench.bench.measuring.seed_intervals import GEOMETRIC, KINDS, LOGIT, MEAN
from plausibench.bench.report import marks, notation
from plausibench.bench.report.aggregate import CELL, aggregate, least, settings
from plausibench.bench.report.columns import (
    ABOUT,
    COLUMNS,
    DEFAULT,
    FLAWS,
    MEASURED,
    QUANTITIES,
    RELATIVE,
    Column,
)
from plausibench.bench.report.nulls import ABOVE, PERFORMANCE, beside, parted, sentences
from plausibench.bench.report.render import Table
from plausibench.kernels.errors import InputError, choose, show

OBJECTIVE = "gradient of the objective"
"""The reference gradient that needs no note."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DRAWN = {"marginal": "feedback redrawn", "budget": "budget"}
"""Kinds that are measured by draws of their own, with what a table calls them."""


def comparison(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    projection: str = "all",
    protocols: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
) -> Table:
    """Compare rules: one row for each rule, protocol and checkpoint.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what could not run.
    columns
        Names from ``columns.COLUMNS`` and ``columns.ABOUT``; by default those of ``DEFAULT``
        for which there are values.
    sort
        Column to sort by, with a leading ``-`` from large to small. What says what a row is
        (rule, step, ...) sorts the whole table, anything else the rows of each block.
    projection
        ``all`` for the whole net, or a parameter's name.
    protocols, steps
        Which rows; by default all.

    Returns
    -------
    Table
        A block is what may be compared: one setting, protocol and checkpoint. In each, the
        value nearest to the ideal of its column is marked, and every other that is not told
        apart from it over the seeds that both have (see ``report.marks``).

    Raises
    ------
    InputError
        If a column, projection, protocol or step is not known.
    """
    chosen = list(DEFAULT)
    if columns is not None:
        chosen = [choose("columns", name, [*COLUMNS, *ABOUT]) for name in dict.fromkeys(columns)]
    key = None if sort is None else choose("sort", sort.lstrip("-"), [*CELL, *COLUMNS, *ABOUT])
    if projection != "all":
        projection = choose("projection", projection, ["all", *frame["projection"].unique()])
    run, told = frame, units
    frame, units = beside(frame), None if units is None else parted(units)[0]
    rows = _only(_cells(frame, units), protocols, steps)
    needed = [name for name in dict.fromkeys([*chosen, key]) if name in COLUMNS]
    measured = _measured(frame, projection)
    rows = _filled(rows, aggregate(measured), needed)
    for name in (name for name in needed if name in chosen):
        column = COLUMNS[name]
        of = (measured["kind"] == column.kind) & (measured["quantity"] == column.quantity)
        rows[f"{name}_best"] = marks.best(rows, column, measured[of])
    rows = _sorted(rows, key, descending=sort is not None and sort.startswith("-"))
    asked = list(chosen)
    if columns is None:
        chosen = [name for name in chosen if (rows[name].notna() & (rows[name] != "")).any()]
    table = _table(rows, chosen, projection)
    return replace(table, notes=(*table.notes, *_of_nulls(run, told, rows, asked)))


def _of_nulls(
    frame: pd.DataFrame, units: pd.DataFrame | None, rows: pd.DataFrame, asked: Sequence[str]
) -> Iterator[str]:
    """What the nulls reach at the last step that is shown, where performance is asked for."""
    performance = set(asked) & {*PERFORMANCE, *ABOVE.values()}
    if not performance or rows["step"].isna().all():
        return
    if any(name in rows and rows[name].notna().any() for name in ABOVE.values()):
        yield (
            "Above readout only, or linear: accuracy less that of the null of the same seed, "
            "which is the same network with its hidden layers left as they were drawn, or one "
            "without hidden layers, at the best of a few learning rates."
        )
    yield from sentences(frame, units, int(rows["step"].max()))


def _measured(frame: pd.DataFrame, projection: str) -> pd.DataFrame:
    of_net = ~frame["kind"].isin(MEASURED)
    return frame[of_net | (frame["projection"] == projection)]


def _cells(frame: pd.DataFrame, units: pd.DataFrame | None) -> pd.DataFrame:
    """Every cell, with values or without, in the order of the units; and its status."""
    rows = frame[list(CELL)].drop_duplicates().assign(status="done", reason="")
    if units is None or units.empty:
        return rows
    identity = list(CELL[:-1])
    # A cell without values has a row at every checkpoint of its task and protocol.
    checkpoints = rows[["task", "protocol", "step"]].drop_duplicates()
    told = pd.DataFrame(
        [
            dict(zip(identity, key, strict=True)) | _status(group)
            for key, group in units.groupby(identity, sort=False)
        ]
    )
    every = told.merge(checkpoints, on=["task", "protocol"], how="left")
    return pd.concat([every, rows]).drop_duplicates(list(CELL))


def _status(units: pd.DataFrame) -> dict[str, str]:
    """What became of the seeds of a unit, and why."""
    counts = units["status"].value_counts(sort=False).drop("done", errors="ignore")
    said = [
        str(status) if count == len(units) else f"{status} ({count} of {len(units)} seeds)"
        for status, count in counts.items()
    ]
    reasons = dict.fromkeys(reason for reason in units["reason"] if reason)
    return {"status": ", ".join(said) or "done", "reason": "; ".join(reasons)}


def _only(
    rows: pd.DataFrame, protocols: Sequence[str] | None, steps: Sequence[int] | None
) -> pd.DataFrame:
    for field, wanted in (("protocol", protocols), ("step", steps)):
        known = list(rows[field].dropna().unique())
        for value in wanted or ():
            if value not in known:
                listed = ", ".join(map(_text, known))
                raise InputError(
                    f"{field}s: {show(value)} is not in the run; choose one of {listed}"
                )
        if wanted is not None:
            rows = rows[rows[field].isin(list(wanted))]
    return rows.reset_index(drop=True)


def _filled(rows: pd.DataFrame, found: pd.DataFrame, needed: list[str]) -> pd.DataFrame:
    """Rows with their values: ``name``, ``name_low``, ``name_high`` and so on for each column."""
    cell = list(CELL)
    rows = rows.merge(_about(found, needed), on=cell, how="left")
    fields = ["value", "low", "high", "seeds", "average", "lost", "method", "state", "bound"]
    parts = [rows]
    for name in needed:
        column = COLUMNS[name]
        own = found[(found["kind"] == column.kind) & (found["quantity"] == column.quantity)]
        part = rows[cell].merge(own[[*cell, *fields]], on=cell, how="left")[fields]
        parts.append(part.add_prefix(f"{name}_").rename(columns={f"{name}_value": name}))
    rows = pd.concat(parts, axis=1).copy()  # one piece again, for which pandas asks
    # Of a value that some seeds lack, a note says so; without numbers it is NaN.
    seeds = rows[[f"{name}_seeds" for name in needed]].max(axis=1)
    block = rows.groupby([settings(rows), "protocol", "step"], dropna=False).ngroup()
    return rows.assign(seeds=seeds, setting=settings(rows), block=block)


def _about(found: pd.DataFrame, needed: list[str]) -> pd.DataFrame:
    """How each cell was measured, by the kinds of the columns shown.

    What a kind measured by draws of its own says otherwise stands in ``NAME_KIND``.
    """
    shown = [COLUMNS[name] for name in needed]
    kinds = list(dict.fromkeys(column.kind for column in shown if column.kind in RELATIVE))
    first = "conditional" if "conditional" in kinds or not kinds else kinds[0]
    pairs = {(column.kind, column.quantity) for column in shown}
    parts = []
    for kind in dict.fromkeys([first, *(kind for kind in kinds if kind in DRAWN), "conditional"]):
        own = found[found["kind"] == kind]
        part = own.drop_duplicates(list(CELL)).set_index(list(CELL))[list(ABOUT)]
        told = [(kind, quantity) in pairs for quantity in own["quantity"]]
        flags = (own[told] if any(told) else own).groupby(list(CELL), sort=False)["flag"]
        parts.append((kind, part.assign(flag=flags.agg(_flags))))
    (_, about), *others = parts
    for kind, part in others:
        about = about.combine_first(part) if kind == "conditional" else about
        if kind in DRAWN:
            about = about.join(part.add_suffix(f"_{kind}"), how="outer")
    return about.reset_index()


def _flags(texts: pd.Series) -> str:
    """Flags of several values, each once."""
    return ", ".join(dict.fromkeys(f for text in texts for f in text.split(", ") if f))


def _sorted(rows: pd.DataFrame, key: str | None, *, descending: bool) -> pd.DataFrame:
    own = rows["protocol"] != "shared"
    rows = rows.assign(own=own).sort_values(["setting", "own", "protocol", "step"], kind="stable")
    if key is None:
        return rows.reset_index(drop=True)
    places = {block: place for place, block in enumerate(rows["block"].unique())}
    rows = rows.sort_values(key, ascending=not descending, kind="stable", na_position="last")
    if key not in CELL:
        rows = rows.sort_values("block", key=lambda blocks: blocks.map(places), kind="stable")
    return rows.reset_index(drop=True)


def _table(rows: pd.DataFrame, chosen: list[str], projection: str) -> Table:
    said, cells, notes = _keys(rows)
    keys = len(cells)
    best = {}
    raw = list(CELL)
    for name in chosen:
        if name in ABOUT:
            cells[ABOUT[name]] = _with_others(rows, name)
            raw += [name, *(f"{name}_{kind}" for kind in DRAWN if f"{name}_{kind}" in rows)]
        else:
            column = COLUMNS[name]
            cells[column.heading] = _numbers(rows, column)
            best[column.heading] = rows[f"{name}_best"]
            raw += [name, *(f"{name}_{end}" for end in ("low", "high", "seeds", "average"))]
    if "reference" in chosen:
        cells["reference"], said_of_references = _letters(rows["reference"])
        notes += said_of_references
    counts = rows["seeds"].dropna().unique()
    if len(counts) > 1:
        cells["seeds"] = rows["seeds"].map(_text)
    elif len(counts):
        said.append("one seed" if counts[0] == 1 else f"{counts[0]:.0f} seeds")
    if (rows["status"] != "done").any() or (rows["reason"] != "").any():
        reasons = rows["status"] + (": " + rows["reason"]).where(rows["reason"] != "", "")
        cells["status"] = reasons
    if projection != "all":
        said.append(f"parameter {projection}")
    laid = pd.DataFrame(cells, index=rows.index, dtype=object)
    marks = pd.DataFrame(best, index=rows.index, dtype=bool)
    return Table(
        title="; ".join(said),
        cells=laid,
        best=marks.reindex(columns=laid.columns, fill_value=False),
        raw=rows[[*raw, "seeds", "status", "reason"]],
        keys=keys,
        notes=(*_explained(rows, chosen), *notes),
    )


def _keys(rows: pd.DataFrame) -> tuple[list[str], dict[str, pd.Series], list[str]]:
    """What all rows share, for the title; columns for what tells them apart; and notes."""
    said: list[str] = []
    cells: dict[str, pd.Series] = {}
    notes: list[str] = []
    names = ["rule", "task", "architecture", "objective", "protocol", "step"]
    if (rows["setting"] == rows["task"]).all() and rows["objective"].notna().any():
        # Each rule has one architecture and objective: the unusual ones go into a note.
        names = [name for name in names if name not in ("architecture", "objective")]
        pairs = rows["architecture"] + ", " + rows["objective"]
        usual = pairs.mode().iloc[0]
        others = [
            f"{', '.join(own.unique())}: {pair}"
            for pair, own in rows["rule"].groupby(pairs, sort=False)
            if pair != usual
        ]
        if others:
            notes.append(f"Other architecture or objective: {'; '.join(others)}.")
    else:
        usual = ""
    for name in names:
        texts = rows[name].map(_text)
        if name == "rule" or texts.nunique() > 1:
            cells[name] = texts
        elif len(texts):
            said.append(f"{name} {texts.iloc[0]}")
    return [*said, usual] if usual else said, cells, notes


def _text(value: object) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.0f}"
    return "–" if value is None or value is pd.NA else str(value)


def _letters(references: pd.Series) -> tuple[pd.Series, list[str]]:
    """Short name of each reference gradient, and a note that says what they are."""
    used = [text for text in references.dropna().unique() if text]
    others = [text for text in used if text != OBJECTIVE]
    names = {text: LETTERS[n % len(LETTERS)] for n, text in enumerate(others)}
    if OBJECTIVE in used:
        names = {OBJECTIVE: "∇F", **names}
    said = "; ".join(f"{letter}: {text}" for text, letter in names.items())
    return references.map(lambda text: names.get(text, "–")), (
        [f"Reference gradients: {said}."] if said else []
    )


def _numbers(rows: pd.DataFrame, column: Column) -> pd.Series:
    name = column.name
    fields = [rows[name], *(rows[f"{name}_{f}"] for f in ("low", "high", "method", "lost"))]
    zeros = least(column.quantity, rows[f"{name}_method"]) * column.relative
    texts = [
        notation.number(value, low, high, exact=method == "exact", least=zero)
        + ("†" if isinstance(lost, str) and lost and not math.isnan(value) else "")
        for value, low, high, method, lost, zero in zip(*fields, zeros, strict=True)
    ]
    return pd.Series(texts, index=rows.index, dtype=object)


def _with_others(rows: pd.DataFrame, name: str) -> pd.Series:
    """How values were measured, and how those of other draws were, where they are shown."""
    texts = rows[name].map(_text)
    for kind, called in DRAWN.items():
        if f"{name}_{kind}" in rows:
            other = rows[f"{name}_{kind}"].map(_text)
            differs = (other != "") & (other != "–") & (other != texts)
            texts = texts.where(
                ~differs, (texts + "; ").where(texts != "", "") + f"{called}: " + other
            )
    return texts


def _explained(rows: pd.DataFrame, chosen: list[str]) -> Iterator[str]:
    numbers = [name for name in chosen if name in COLUMNS]
    over = "[95 % interval]"
    if (rows["seeds"] > 1).any():
        over = _averages(rows, numbers)
        if (rows["seeds"] == 1).any():
            over += ", of one seed its own [95 % interval]"
    paired = any((rows[f"{name}_method"] == "companion").any() for name in numbers)
    finer = " (a bias² from companions: 1e-24)" if paired else ""
    if numbers:
        yield (
            f"Values: {over}; a value without interval is exact, [?] one whose interval is "
            f"unknown; 0 is exact or below 1e-12{finer}. Marked: the best of its column, and all "
            "that the differences over shared seeds do not tell apart from it (5 % for all "
            "together), among rules at the same setting, protocol and step; what is not told "
            "apart from zero is not marked."
        )
    for flag, said in FLAWS.items():
        flagged = rows["flag"].fillna("").str.contains(flag, regex=False)
        if flagged.any():
            yield f"{said}: {', '.join(rows.loc[flagged, 'rule'].unique())}."
    lost = [
        f"{rule} {name} without {seeds}"
        for name in numbers
        for shown in [rows[rows[name].notna()]]
        for rule, seeds in dict.fromkeys(zip(shown["rule"], shown[f"{name}_lost"], strict=True))
        if isinstance(seeds, str) and seeds
    ]
    if lost:
        yield f"† over seeds with a finite value: {'; '.join(lost)}."


def _averages(rows: pd.DataFrame, numbers: list[str]) -> str:
    """What stands for several seeds in each column, with its interval."""
    parts = []
    for average, said in ((GEOMETRIC, "geometric mean"), (LOGIT, "mean of the logits")):
        headings = []
        for name in numbers:
            quantity = COLUMNS[name].quantity
            own = (rows[f"{name}_average"] == average) & (rows[f"{name}_seeds"] > 1)
            if own.any():
                rest = "" if quantity in KINDS else " where every seed is above zero"
                of = "1 + " if quantity == "magnitude_bias" else ""
                headings.append(f"{of}{QUANTITIES[quantity][0]}{rest}")
        if headings:
            parts.append(f"{said} of {', '.join(dict.fromkeys(headings))}")
    plain = any((rows[f"{n}_average"] == MEAN).any() for n in numbers)
    if not parts:
        return "mean over seeds [95 % interval by Student's t]"
    every = ", ".join([*parts, *(["mean of the others"] if plain else [])])
    return f"over seeds {every} [95 % interval by Student's t on that scale]"
