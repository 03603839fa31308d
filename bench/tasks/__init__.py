"""Tasks: where inputs and targets come from, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Names to "module:attribute", so that listing the tasks imports none of them.
BUILTIN = {
    "digits": "plausibench.bench.tasks.digits:Digits",
    "linear_regression": "plausibench.bench.tasks.linear_regression:LinearRegression",
    "mnist": "plausibench.bench.tasks.mnist:Mnist",
    "mnist_5k": "plausibench.bench.tasks.mnist_5k:Mnist5k",
    "teacher_student": "plausibench.bench.tasks.teacher_student:TeacherStudent",
}
