"""Print the oldest version that pyproject.toml allows of every dependency, as pip constraints."""

import re
import tomllib
from itertools import chain
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def constraints(text):
    """Lines such as ``numpy==1.26`` for all lower bounds, those of extras included."""
    project = tomllib.loads(text)["project"]
    listed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    found = {}
    for line in listed:
        name, bound = re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*(?:[=>]=\s*([\w.]+))?", line).groups()
        if bound is not None:
            found[name] = f"{name}=={bound}"
    return sorted(found.values())


if __name__ == "__main__":
    print("\n".join(constraints(PROJECT.read_text(encoding="utf-8"))))
