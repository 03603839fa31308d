"""Studies: a question with its options, its jobs and a report, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the studies imports none of them.
BUILTIN = {
    "apical_activity": "plausibench.bench.studies.apical_activity.study:APICAL_ACTIVITY",
    "benchmark": "plausibench.bench.studies.benchmark.study:BENCHMARK",
    "brain_set": "plausibench.bench.studies.brain_set.study:BRAIN_SET",
    "certificates": "plausibench.bench.studies.certificates.study:CERTIFICATES",
    "dose_response": "plausibench.bench.studies.dose_response.study:DOSE_RESPONSE",
    "figure2": "plausibench.bench.studies.figure2.study:FIGURE2",
    "gradient_fields": "plausibench.bench.studies.gradient_fields.study:GRADIENT_FIELDS",
    "identification": "plausibench.bench.studies.identification.study:IDENTIFICATION",
    "identify_rule": "plausibench.bench.studies.identify_rule.study:IDENTIFY_RULE",
    "improvement": "plausibench.bench.studies.improvement.study:IMPROVEMENT",
    "inductive_biases": "plausibench.bench.studies.inductive_biases.study:INDUCTIVE_BIASES",
    "learned": "plausibench.bench.studies.learning.study:LEARNED",
    "learning": "plausibench.bench.studies.learning.study:LEARNING",
    "metric": "plausibench.bench.studies.metric.study:METRIC",
    "modes": "plausibench.bench.studies.modes.study:MODES",
    "modularity": "plausibench.bench.studies.modularity.study:MODULARITY",
    "pilot": "plausibench.bench.studies.pilot.study:PILOT",
    "replications": "plausibench.bench.studies.replications.study:REPLICATIONS",
    "representation_change": (
        "plausibench.bench.studies.representation_change.study:REPRESENTATION_CHANGE"
    ),
    "scaling": "plausibench.bench.studies.scaling.study:SCALING",
    "tags": "plausibench.bench.studies.tags.study:TAGS",
    "three_components": "plausibench.bench.studies.three_components.study:THREE_COMPONENTS",
    "time": "plausibench.bench.studies.time.study:TIME",
    "train": "plausibench.bench.studies.train.study:TRAIN",
    "tuning": "plausibench.bench.studies.tuning.study:TUNING",
}
