"""Options and arguments given in numpy's types mean, to the bit, what Python's numbers mean."""

from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.training.optimisers import Adam, Sgd
from plausibench.kernels.errors import InputError, flag, integer, number, sizes
from plausibench.kernels.plain import plain
from plausibench.rules.rule import Rule

WIDTHS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float16", "float32", "float64", "longdouble")

COMPONENTS = [(kind, name) for kind in registry.KINDS for name in registry.entries(kind)]
NEEDED = {"sizes": (6, 4, 3)}
"""Values of options that have no default."""


def disguised(value):
    """Strategy of the same value in types of numpy."""
    if isinstance(value, bool):
        return st.sampled_from([np.bool_(value), np.array(value)])
    if isinstance(value, int):
        held = [t for t in WIDTHS if np.iinfo(t).min <= value <= np.iinfo(t).max]
        return st.sampled_from([*(np.dtype(t).type(value) for t in held), np.array(value)])
    if isinstance(value, float):
        held = [np.dtype(t).type(value) for t in FLOATS]
        return st.sampled_from([h for h in held if float(h) == value] + [np.array(value)])
    if isinstance(value, str):
        return st.just(np.str_(value))
    if isinstance(value, tuple):
        parts = st.tuples(*map(disguised, value))
        whole = [st.just(np.array(value))] if value and all(type(v) is int for v in value) else []
        return st.one_of(parts, parts.map(list), *whole)
    return st.just(value)


EXACT = st.floats(0.0, 2.0, width=16)
"""Numbers that every width holds."""
VALUES = st.one_of(
    st.booleans(),
    st.integers(-3, 130),
    EXACT,
    st.sampled_from(["gaussian", "tanh", "clean"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
)


def values_of(option):
    """What may be tried of an option: its default, and numbers that may be refused."""
    known = NEEDED.get(option.name, option.default)
    if not isinstance(known, bool | int | float | str | tuple):
        return VALUES
    alike = VALUES.filter(lambda value: type(value) is type(known))
    return st.one_of(st.just(known), alike, VALUES)


def kept(value):
    """Whether a value is of Python alone."""
    if isinstance(value, tuple):
        return all(map(kept, value))
    return value is None or type(value) in (bool, int, float, str)


def few(number, strategy):
    """Try a number of examples."""

    def run(check):
        kept = settings(
            max_examples=number,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        kept(given(strategy)(check))()

    return run


def outcome(component, options):
    try:
        made = component(**options)
    except InputError as error:
        return str(error)
    values = {f.name: getattr(made, f.name) for f in fields(made) if f.init}
    if "terms" not in values:
        assert all(map(kept, values.values())), values
    return made


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=lambda part: part)
def test_every_option_of_every_component(kind, name):
    """The same object, or the same refusal."""
    component = registry.find(kind, name)
    options = [f for f in fields(component) if f.init]
    needed = {f.name: NEEDED[f.name] for f in options if f.name in NEEDED}

    def same(choice):
        option, (value, other) = choice
        one = outcome(component, {**needed, option: value})
        two = outcome(component, {**needed, option: other})
        assert one == two
        assert repr(one) == repr(two)
        if not isinstance(one, str):
            assert hash(one) == hash(two)

    for option in options:
        pairs = values_of(option).flatmap(lambda v: st.tuples(st.just(v), disguised(v)))
        few(8, st.tuples(st.just(option.name), pairs))(same)


@pytest.mark.parametrize("kind", [Sgd, Adam])
@pytest.mark.parametrize("width", FLOATS)
def test_options_of_optimisers(kind, width):
    rate = np.dtype(width).type(0.25)
    assert kind(rate, weight_decay=rate) == kind(0.25, 0.25)
    assert type(kind(rate).learning_rate) is float


def test_a_whole_number_where_a_number_is_declared_is_a_float():
    rule = bench.make("rule", "node_perturbation", sigma=1)
    assert type(rule.sigma) is float
    assert type(bench.make("rule", "predictive_coding", step=1).step) is float
    # Larger than any whole number of numpy: as an int it would turn arrays into objects.
    assert type(bench.make("rule", "node_perturbation", sigma=10**30).sigma) is float


def test_a_plugin_need_not_do_anything_for_it():
    @dataclass(frozen=True)
    class Mine(Rule):
        sigma: float = 1e-3
        layers: tuple[int, ...] = ()
        step: float | None = None

        def estimate(self, *given):
            return {}

    made = Mine(np.float16(0.5), layers=np.arange(3), step=np.int8(2))
    assert made == Mine(0.5, (0, 1, 2), 2.0)
    assert kept((made.sigma, made.layers, made.step))
    assert type(made.step) is float
    with pytest.raises(TypeError, match="unexpected keyword argument 'sigmas'"):
        Mine(sigmas=1)


def test_a_rule_stays_in_single_precision():
    network, objective, batch = cell()
    expected = bench.estimates(make_rule(0.125), network, objective, batch, dtype="float32")
    for width in FLOATS:
        rule = make_rule(np.dtype(width).type(0.125))
        found = bench.estimates(rule, network, objective, batch, dtype="float32")
        for name, array in expected.items():
            assert found[name].dtype == np.float32
            np.testing.assert_array_equal(found[name], array)


def make_rule(sigma=1e-3):
    return bench.make("rule", "node_perturbation", sigma=sigma)


def cell():
    rng = np.random.default_rng(0)
    return (
        bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0),
        bench.make("objective", "cross_entropy"),
        bench.Batch(rng.standard_normal((8, 6)), rng.integers(0, 3, 8)),
    )


def task_cell():
    return (
        bench.make("task", "linear_regression", inputs=6, outputs=3, examples=60),
        bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0),
        bench.make("objective", "mean_squared_error"),
    )


def noisy(parameters, batch, rng):
    return {"w": rng.standard_normal(2)}


ONES = {"w": np.ones(2)}
CALLS = {
    "make": (lambda **a: bench.make("architecture", "mlp", sizes=[3, 2], **a), {"seed": 100}),
    "measure": (
        lambda **a: bench.measure(make_rule(), *cell(), **a).rows,
        {"samples": 100, "seed": 100, "threads": 1, "dtype": "float32", "method": "sampled"},
    ),
    "estimates": (lambda **a: bench.estimates(make_rule(), *cell(), **a), {"samples": 40}),
    "progress": (
        lambda **a: bench.progress(make_rule(), *cell(), **a),
        {"samples": 60, "seed": 100},
    ),
    "averaging_curve": (
        lambda **a: bench.averaging_curve(make_rule(), *cell(), **a),
        {"samples": 100, "seed": 100, "redraw": ("rule",)},
    ),
    "initial_state": (
        lambda **a: bench.initial_state(bench.make("rule", "kolen_pollack"), cell()[0], **a),
        {"seed": 100},
    ),
    "advance": (
        lambda **a: bench.advance(bench.make("rule", "weight_mirror"), *task_cell(), **a),
        {"steps": 3, "batch_size": 30, "seed": 100},
    ),
    "budget": (
        lambda **a: bench.budget(make_rule(), *task_cell(), **a),
        {"feedbacks": 3, "batches": 2, "samples": 16, "batch_size": 30, "seed": 100},
    ),
    "train": (
        lambda **a: bench.train(make_rule(), *task_cell(), **a).rows,
        {
            "steps": 20,
            "batch_size": 30,
            "learning_rate": 0.125,
            "weight_decay": 0.5,
            "momentum": 0.5,
            "layer_rates": (1.0, 0.5),
            "seed": 100,
            "evaluate_every": 7,
            "optimiser": "sgd",
            "dtype": "float32",
        },
    ),
    "measure_function": (
        lambda **a: bench.measure_function(noisy, ONES, None, reference=ONES, **a).rows,
        {"samples": 100, "seed": 100, "sign": "gradient"},
    ),
    "batch": (
        lambda **a: bench.make("task", "digits").batch(**a).inputs,
        {"size": 100, "seed": 100},
    ),
    "batches": (
        lambda **a: next(bench.make("task", "digits").batches(**a)).inputs,
        {"size": 100, "seed": 100, "start": 120},
    ),
}


def bits(answer):
    """Text that tells any two numbers apart."""
    with np.printoptions(threshold=10**9, floatmode="unique"):
        return repr(answer.to_dict("list") if hasattr(answer, "to_dict") else answer)


@pytest.mark.parametrize("call", CALLS)
def test_every_argument_of_the_public_functions(call):
    """One argument at a time, in each of numpy's types that holds it."""
    function, arguments = CALLS[call]
    expected = bits(function(**arguments))

    pairs = st.sampled_from(sorted(arguments)).flatmap(
        lambda name: st.tuples(st.just(name), disguised(arguments[name]))
    )

    def same(pair):
        name, other = pair
        assert bits(function(**{**arguments, name: other})) == expected

    few(12, pairs)(same)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.array(7, np.uint8), 7),
        (np.arange(3, dtype=np.int8), (0, 1, 2)),
        ([np.int8(1), (np.float32(0.5),)], (1, (0.5,))),
        (range(3), (0, 1, 2)),
        (np.str_("a"), "a"),
        (Fraction(1, 2), 0.5),
    ],
)
def test_plain(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert kept(found)


def test_what_is_no_number_in_disguise_is_left_to_the_checks():
    for value in (None, object(), {"a": 1}, Fraction(10**400, 1), b"x"):
        assert plain(value) is value


@pytest.mark.parametrize(
    "value", [np.float32(2), np.bool_(True), np.complex64(2), 10**5000, "2"], ids=type
)
def test_checks_still_refuse(value):
    with pytest.raises(InputError, match=r"^x: "):
        integer("x", value, most=10)
    if not isinstance(value, np.floating):
        with pytest.raises(InputError, match=r"^x: "):
            number("x", value)
    if not isinstance(value, np.bool_):
        with pytest.raises(InputError, match=r"^x: "):
            flag("x", value)
    with pytest.raises(InputError, match=r"^x: "):
        sizes("x", {value})


def test_a_seed_that_cannot_be_written_out_is_refused():
    with pytest.raises(InputError, match=r"seed: <int that cannot be written out> is not"):
        bench.make("architecture", "mlp", sizes=[3, 2], seed=10**5000)
