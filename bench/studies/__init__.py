"""Studies: a question with its options, its jobs and a report, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the studies imports none of them.
BUILTIN = {
    "apical_activity": "plausibench.bench.studies.apical_activity:APICAL_ACTIVITY",
    "benchmark": "plausibench.bench.studies.benchmark:BENCHMARK",
    "brain_set": "plausibench.bench.studies.brain_set:BRAIN_SET",
    "certificates": "plausibench.bench.studies.certificates:CERTIFICATES",
    "dose_response": "plausibench.bench.studies.dose_response:DOSE_RESPONSE",
    "figure2": "plausibench.bench.studies.figure2:FIGURE2",
    "gradient_fields": "plausibench.bench.studies.gradient_fields:GRADIENT_FIELDS",
    "identification": "plausibench.bench.studies.identification:IDENTIFICATION",
    "identify_rule": "plausibench.bench.studies.identify_rule:IDENTIFY_RULE",
    "improvement": "plausibench.bench.studies.improvement:IMPROVEMENT",
    "inductive_biases": "plausibench.bench.studies.inductive_biases:INDUCTIVE_BIASES",
    "modes": "plausibench.bench.studies.modes:MODES",
    "modularity": "plausibench.bench.studies.modularity:MODULARITY",
    "pilot": "plausibench.bench.studies.pilot:PILOT",
    "replications": "plausibench.bench.studies.replications:REPLICATIONS",
    "representation_change": (
        "plausibench.bench.studies.representation_change:REPRESENTATION_CHANGE"
    ),
    "scaling": "plausibench.bench.studies.scaling:SCALING",
    "tags": "plausibench.bench.studies.tags:TAGS",
    "three_components": "plausibench.bench.studies.three_components:THREE_COMPONENTS",
    "time": "plausibench.bench.studies.time:TIME",
    "train": "plausibench.bench.studies.train:TRAIN",
    "tuning": "plausibench.bench.studies.tuning:TUNING",
}
