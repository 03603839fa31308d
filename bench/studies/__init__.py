"""Studies: a question with its options, its jobs and a report, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the studies imports none of them.
BUILTIN = {
    "benchmark": "plausibench.bench.studies.benchmark:BENCHMARK",
    "certificates": "plausibench.bench.studies.certificates:CERTIFICATES",
    "figure2": "plausibench.bench.studies.figure2:FIGURE2",
    "pilot": "plausibench.bench.studies.pilot:PILOT",
    "replications": "plausibench.bench.studies.replications:REPLICATIONS",
    "tags": "plausibench.bench.studies.tags:TAGS",
    "train": "plausibench.bench.studies.train:TRAIN",
    "tuning": "plausibench.bench.studies.tuning:TUNING",
}
