"""The tables of timings, written beside the JSON of pytest-benchmark."""

from pathlib import Path


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Write estimates per second by rule, and microseconds per sample by framework."""
    found = output_json["benchmarks"]
    text = "\n\n".join(filter(None, [_by_rule(found), *_by_framework(found)]))
    path = Path(config.rootpath, "build", "benchmarks.md")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def _by_rule(found):
    rates = {}
    for one in found:
        if "how" in one["params"]:
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


def _by_framework(found):
    groups = {}
    for one in found:
        if "dtype" in one["params"]:
            times = [
                1e6 * one["stats"][key] / one["extra_info"]["samples"]
                for key in ("median", "q1", "q3")
            ]
            groups.setdefault(one["group"], {})[one["params"]["name"]] = times
    for group, times in groups.items():
        ours = times.get("plausibench", [float("nan")])[0]
        rows = [
            f"| {name} | {median:,.0f} [{low:,.0f}, {high:,.0f}] | {median / ours:.2f} |"
            for name, (median, low, high) in times.items()
        ]
        head = [group, "microseconds per sample [quartiles]", "relative to plausibench"]
        yield _table(head, rows)


def _table(head, rows):
    if not rows:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])
