"""Tasks: where inputs and targets come from, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the tasks imports none of them.
BUILTIN = {
    "adding": "plausibench.bench.tasks.adding:Adding",
    "antolik2016": "plausibench.bench.tasks.antolik2016:Antolik2016",
    "arrays": "plausibench.bench.tasks.arrays:Arrays",
    "cifar10": "plausibench.bench.tasks.cifar10:Cifar10",
    "cifar100": "plausibench.bench.tasks.cifar100:Cifar100",
    "contextual_integration": (
        "plausibench.bench.tasks.contextual_integration:ContextualIntegration"
    ),
    "copy": "plausibench.bench.tasks.copy:Copy",
    "delayed_match": "plausibench.bench.tasks.delayed_match:DelayedMatch",
    "delayed_parity": "plausibench.bench.tasks.delayed_parity:DelayedParity",
    "digits": "plausibench.bench.tasks.digits:Digits",
    "evidence_accumulation": "plausibench.bench.tasks.evidence_accumulation:EvidenceAccumulation",
    "fashion_mnist": "plausibench.bench.tasks.fashion_mnist:FashionMnist",
    "gratings": "plausibench.bench.tasks.gratings:Gratings",
    "grasshopper_receptor": "plausibench.bench.tasks.grasshopper_receptor:GrasshopperReceptor",
    "linear_regression": "plausibench.bench.tasks.linear_regression:LinearRegression",
    "mnist": "plausibench.bench.tasks.mnist:Mnist",
    "mnist_1d": "plausibench.bench.tasks.mnist_1d:Mnist1d",
    "mnist_5k": "plausibench.bench.tasks.mnist_5k:Mnist5k",
    "natural_scenes": "plausibench.bench.tasks.natural_scenes:NaturalScenes",
    "row_by_row": "plausibench.bench.tasks.row_by_row:RowByRow",
    "simulated_neurons": "plausibench.bench.tasks.simulated_neurons:SimulatedNeurons",
    "sine_generation": "plausibench.bench.tasks.sine_generation:SineGeneration",
    "teacher_student": "plausibench.bench.tasks.teacher_student:TeacherStudent",
    "yang2019": "plausibench.bench.tasks.yang2019:Yang2019",
    "yang2019_neurogym": "plausibench.bench.tasks.yang2019_neurogym:Yang2019Neurogym",
}
