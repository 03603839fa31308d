"""The table of timings, written beside the JSON of pytest-benchmark."""

from pathlib import Path


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Write estimates per second of the engine and of the naive twin, and their ratio."""
    rates = {}
    for one in output_json["benchmarks"]:
        how = one["params"]["how"]
        rate = one["extra_info"]["estimates"] / one["stats"]["median"]
        rates.setdefault(one["group"], {})[how] = rate
    lines = [
        "| rule | estimates per second | naive twin | ratio |",
        "|---|---|---|---|",
        *(
            f"| {name} | {found['ours']:,.0f} | {found['naive']:,.0f} "
            f"| {found['ours'] / found['naive']:.1f} |"
            for name, found in rates.items()
            if {"ours", "naive"} <= set(found)
        ),
    ]
    path = Path(config.rootpath, "build", "benchmarks.md")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
