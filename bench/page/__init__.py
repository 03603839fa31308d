"""One self-contained page about a run: what ``plausibench report`` writes."""

from plausibench.bench.page.page import page

__all__ = ["page"]
