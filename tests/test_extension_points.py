"""A new method or operator that is missing from a table keyed by its name is named, with the place.

Exceptions stand beside the table, each with its reason.
"""

import inspect
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.benchmarks.card_plans import MIXTURES, PLANS
from tests.benchmarks.overhead import QUICK
from tests.methods.test_methods import CASES as METHOD_CASES
from tests.operators.cases import CASES as OPERATOR_CASES
from uqrestore.methods import METHODS
from uqrestore.methods._method import Method
from uqrestore.operators import OPERATORS, LinearOperator
from uqrestore.reports.references import METHODS as REFERENCES
from uqrestore.scans import READERS

ROOT = Path(__file__).parents[1]
NO_EXCEPTION: dict[str, str] = {}

BY_METHOD: dict[str, tuple[Collection[str], dict[str, str]]] = {
    "METHODS' cases in tests/methods/test_methods.py": (METHOD_CASES, NO_EXCEPTION),
    "PLANS in tests/benchmarks/card_plans.py": (PLANS, NO_EXCEPTION),
    "MIXTURES in tests/benchmarks/card_plans.py": (
        MIXTURES,
        dict.fromkeys(("ddnm", "ssd", "ssd_plus"), "the mixtures are measured with noise")
        | {"local_laplace": "its card has the fields alone"},
    ),
    "QUICK in tests/benchmarks/overhead.py": (
        QUICK,
        {
            "conditional": "needs a conditional network",
            "exact": "makes no network call",
            "ddrm": "its 20 default calls are few enough",
            "fitted_gaussian": "needs a prior with an error model",
            "local_laplace": "its products are counted in hundreds",
        },
    ),
    "METHODS in uqrestore/reports/references.py": (
        REFERENCES,
        {
            "conditional": "the sampler is that of the paper cited for the network",
            "exact": "no approximation to cite",
            "fitted_gaussian": "of this package",
            "local_gaussian": "of this package",
            "local_laplace": "of this package",
        },
    ),
    "cards in uqrestore/zoo/cards": (
        [path.stem for path in (ROOT / "uqrestore/zoo/cards").glob("*.json")],
        NO_EXCEPTION,
    ),
}
BY_OPERATOR: dict[str, Collection[str]] = {"CASES in tests/operators/cases.py": OPERATOR_CASES}


@pytest.mark.parametrize("place", BY_METHOD)
def test_every_table_of_methods_holds_every_method(place: str) -> None:
    table, exceptions = BY_METHOD[place]
    missing = set(METHODS) - set(table) - set(exceptions)
    assert not missing, f"add {', '.join(sorted(missing))} to {place}"
    stale = (set(table) | set(exceptions)) - set(METHODS)
    assert not stale, f"{place} has {', '.join(sorted(stale))}, which METHODS has not"
    assert not set(table) & set(exceptions), f"no exceptions any more in {place}"


@pytest.mark.parametrize("place", BY_OPERATOR)
def test_every_table_of_operators_holds_every_operator(place: str) -> None:
    missing = set(OPERATORS) ^ set(BY_OPERATOR[place])
    assert not missing, f"OPERATORS and {place} differ in {', '.join(sorted(missing))}"


def test_methods_are_registered_by_name_and_decorated() -> None:
    for name, method in METHODS.items():
        assert isinstance(method, Method), f"{name} in METHODS needs @method()"
        assert method.name == name
        assert method.__doc__
        assert method.__doc__ == method.function.__doc__
        options = inspect.signature(method).parameters
        assert {"label", "guidance"} <= set(options)
        assert ("preset" in options) == bool(method.presets)


def concrete(kind: type[LinearOperator]) -> list[type[LinearOperator]]:
    below = [found for one in kind.__subclasses__() for found in concrete(one)]
    shipped = kind.__module__.startswith("uqrestore.operators.")
    return [kind, *below] if shipped and not inspect.isabstract(kind) else below


def test_every_operator_can_be_rebuilt_from_a_file() -> None:
    """``from_data`` finds kinds in OPERATORS; those of functions and Jacobians are not written."""
    unwritten = {"CallableOperator", "Linearised"}
    known = {kind for kind in concrete(LinearOperator) if kind.__name__ not in unwritten}
    missing = known - set(OPERATORS.values())
    assert not missing, f"add {missing} to OPERATORS in uqrestore/operators/__init__.py"


def test_the_api_page_documents_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate  # pyright: ignore[reportMissingImports]

    text = generate.api()
    for name in METHODS:
        line = f".. autofunction:: uqrestore.methods.{name}\n"
        assert line in text, f"add {name} to __all__ in uqrestore/methods/__init__.py"


def test_the_page_of_formats_names_every_reader() -> None:
    page = (ROOT / "docs/how-to/formats.md").read_text()
    missing = [suffix for suffix in READERS if f"`{suffix}`" not in page]
    assert not missing, f"add {', '.join(missing)} of READERS to docs/how-to/formats.md"
