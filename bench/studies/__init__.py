"""Studies: a question with its options, its jobs and a report, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the studies imports none of them.
BUILTIN = {
    "benchmark": "plausibench.bench.studies.benchmark:BENCHMARK",
    "inductive_biases": "plausibench.bench.studies.inductive_biases:INDUCTIVE_BIASES",
    "modes": "plausibench.bench.studies.modes:MODES",
    "modularity": "plausibench.bench.studies.modularity:MODULARITY",
    "representation_change": (
        "plausibench.bench.studies.representation_change:REPRESENTATION_CHANGE"
    ),
    "scaling": "plausibench.bench.studies.scaling:SCALING",
    "tags": "plausibench.bench.studies.tags:TAGS",
    "three_components": "plausibench.bench.studies.three_components:THREE_COMPONENTS",
    "time": "plausibench.bench.studies.time:TIME",
}
