"""The tables and the picture of timings, written beside the JSON of pytest-benchmark."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Write estimates per second, microseconds per sample, floors, and how cost grows."""
    from picture import in_time, performance

    found = output_json["benchmarks"]
    frameworks, costs = _frameworks(found), _costs(found)
    temporal = [one["extra_info"] for one in found if "in_time" in one["extra_info"]]
    tables = [
        *_framework_tables(frameworks),
        _floor_table(found),
        _by_rule(found),
        _cost_table(costs),
        _time_table(temporal),
        _step_table(found),
        _peak_table(found),
        _foreign_table(found),
    ]
    folder = Path(config.rootpath, "build")
    folder.mkdir(exist_ok=True)
    text = "\n\n".join(filter(None, tables))
    (folder / "benchmarks.md").write_text(text + "\n", encoding="utf-8")
    if frameworks and costs:
        performance(frameworks, costs).save(folder, ("png", "svg"))
    if temporal:
        in_time(temporal).save(folder, ("png", "svg"))


def _microseconds(one):
    scale = 1e6 / one["extra_info"]["samples"]
    return tuple(scale * one["stats"][key] for key in ("median", "q1", "q3"))


def _by_rule(found):
    rates = {}
    for one in found:
        if "how" in (one["params"] or {}):
            rate = one["extra_info"]["estimates"] / one["stats"]["median"]
            rates.setdefault(one["group"], {})[one["params"]["how"]] = rate
    pairs = [
        (name, pair["ours"], pair["naive"])
        for name, pair in rates.items()
        if {"ours", "naive"} <= set(pair)
    ]
    rows = [
        f"| {name} | {ours:,.0f} | {twin:,.0f} | {ours / twin:.1f} |" for name, ours, twin in pairs
    ]
    return _table(["rule", "estimates per second", "naive twin", "ratio"], rows)


def _frameworks(found):
    groups = {}
    for one in found:
        if set(one["params"] or {}) == {"name", "dtype"}:
            groups.setdefault(one["group"], {})[one["params"]["name"]] = _microseconds(one)
    return groups


def _framework_tables(groups):
    for group, times in groups.items():
        ours = times.get("plausibench", [float("nan")])[0]
        rows = [
            f"| {name} | {_spread(time)} | {time[0] / ours:.2f} |" for name, time in times.items()
        ]
        head = [group, "microseconds per sample [quartiles]", "relative to plausibench"]
        yield _table(head, rows)


def _floor_table(found):
    from floors import REMAINS

    times = {}
    for one in found:
        about = one["extra_info"]
        if "of" in about:
            pair = times.setdefault((about["rule"], about["type"]), {})
            pair[about["of"]] = _microseconds(one)
    rows = [
        f"| {rule} | {kind} | {_spread(pair['ours'])} | {_spread(pair['floor'])} "
        f"| {pair['ours'][0] / pair['floor'][0]:.2f} | {REMAINS[rule]} |"
        for (rule, kind), pair in times.items()
        if {"ours", "floor"} <= set(pair)
    ]
    head = ["rule", "type", "microseconds per sample", "floor", "ratio", "what remains"]
    return _table(head, rows)


def _costs(found):
    axes = {}
    for one in found:
        about = one["extra_info"]
        if "axis" in about:
            point = (about["value"], _microseconds(one), about["operations"])
            axes.setdefault(about["axis"], []).append(point)
    return axes


def _cost_table(axes):
    rows = [
        f"| {axis} | {value:,} | {_spread(time)} | {1e3 * time[0] / operations:.3f} |"
        for axis, points in axes.items()
        for value, time, operations in points
    ]
    head = ["cost against", "value", "microseconds per sample", "nanoseconds per multiplication"]
    return _table(head, rows)


def _time_table(found):
    rows = []
    for one in found:
        kind, rule, size, steps, dtype = one["cell"]
        times = one["in_time"]
        ours = times["plausibench"]
        each = [
            f"{1 / seconds:,.1f}" + ("" if name == "plausibench" else f" ({seconds / ours:.2f})")
            for name, seconds in times.items()
        ]
        rows.append(f"| {kind} | {rule} | {size} | {steps} | {dtype} | {' | '.join(each)} |")
    names = list(found[0]["in_time"]) if found else []
    heads = [names[0], *(f"{name} (ours over theirs)" for name in names[1:])] if names else []
    return _table(["updates per second", "rule", "neurons", "steps", "type", *heads], rows)


def _step_table(found):
    """Least milliseconds a step, on the wall and of processors, of ours over theirs."""
    rows = []
    for one in found:
        about = one["extra_info"]
        if about.get("seconds"):
            ours, theirs = about["seconds"]
            pairs = [
                f"{1e3 * mine:.3f} / {1e3 * other:.3f} | {mine / other:.2f}"
                for mine, other in zip(ours, theirs, strict=True)
            ]
            rows.append(f"| {' | '.join(map(str, about['step']))} | {' | '.join(pairs)} |")
    head = ["a step of training", "beside", "optimiser", "type", "threads"]
    return _table([*head, "wall, ms", "ratio", "processor, ms", "ratio"], rows)


def _peak_table(found):
    rows = [
        f"| {rule} | {dtype} | {draws} | {size:,} | {peak / 1e6:,.0f} | {peak / size / width:.1f} |"
        for one in found
        if "peak" in one["extra_info"]
        for rule, dtype, draws, size, peak in [one["extra_info"]["peak"]]
        for width in [8 if dtype == "float64" else 4]
    ]
    head = ["peak memory, two threads", "type", "draws", "parameters", "MB above start"]
    return _table([*head, "times the parameters"], rows)


def _foreign_table(found):
    """Processor time of functions of PyTorch over that of their bare calls."""
    rows = [
        f"| {dtype} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
        for one in found
        if "foreign" in one["extra_info"]
        for dtype, *ratios in [one["extra_info"]["foreign"]]
    ]
    head = ["a function over its bare calls", "FunctionRule", "measure_function", "in blocks"]
    return _table([*head, "a draw in blocks over one alone"], rows)


def _spread(time):
    digits = 0 if time[0] >= 100 else 1
    median, low, high = (f"{value:,.{digits}f}" for value in time)
    return f"{median} [{low}, {high}]"


def _table(head, rows):
    if not rows:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])
