"""``python -m plausibench.bench.cli``: the command line of this very interpreter."""

from plausibench.bench.cli import main

if __name__ == "__main__":
    main()
