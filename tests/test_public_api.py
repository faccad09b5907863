"""The stub, the names that load, the API page and the docstrings agree."""

import ast
import dataclasses
import importlib
import inspect
import re
import types
from pathlib import Path

import pytest

import jaxcoadd
from jaxcoadd import inputs, io, matching, reference, sky

ROOT = Path(__file__).parents[1]


def stub_imports():
    """Return pairs of module and name that the stub offers."""
    tree = ast.parse((ROOT / "jaxcoadd" / "__init__.pyi").read_text())
    return [
        (node.module, alias.name, alias.asname)
        for node in tree.body
        for alias in node.names
    ]


NAMES = sorted(name for _, name, _ in stub_imports())
OBJECTS = {name: getattr(jaxcoadd, name) for name in NAMES}
FUNCTIONS = [n for n in NAMES if isinstance(OBJECTS[n], types.FunctionType)]
CLASSES = [n for n in NAMES if inspect.isclass(OBJECTS[n])]


def section(text, title):
    """Return a section of a docstring, or nothing."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", text, re.S | re.M)
    return found[1] if found else ""


def listed_parameters(thing):
    """Return the names that a docstring lists as parameters."""
    lines = re.findall(
        r"^(\S.*)$", section(inspect.getdoc(thing), "Parameters"), re.MULTILINE
    )
    return [name.strip() for line in lines for name in line.split(",")]


def taken_parameters(thing):
    """Return the names of what a function takes, or of what a type has."""
    if inspect.isclass(thing) and dataclasses.is_dataclass(thing):
        return [field.name for field in dataclasses.fields(thing)]
    return list(inspect.signature(thing).parameters)


def test_what_loads_is_what_the_stub_offers():
    assert sorted(jaxcoadd.__all__) == NAMES
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("module", "name", "alias"), stub_imports())
def test_a_name_loads_from_the_module_that_the_stub_says(module, name, alias):
    assert alias == name  # type checkers take only such names as public
    place = "jaxcoadd" if module is None else f"jaxcoadd.{module}"
    if module is None:
        assert OBJECTS[name] is importlib.import_module(f"{place}.{name}")
    else:
        assert OBJECTS[name] is getattr(importlib.import_module(place), name)


def test_the_api_page_lists_every_name_once():
    page = (ROOT / "docs" / "api.md").read_text()
    listed = re.findall(r"^\| `([\w.]+)` \| \S", page, re.MULTILINE)
    of_reference = [
        name
        for name, value in vars(reference).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    expected = [
        *NAMES,
        *(f"io.{name}" for name in io.__all__),
        *(f"sky.{name}" for name in sky.__all__),
        *(f"inputs.{name}" for name in inputs.__all__),
        *(f"matching.{name}" for name in matching.__all__),
        *(f"reference.{name}" for name in of_reference),
    ]
    assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_begins_with_one_short_sentence(name):
    first, *rest = inspect.getdoc(OBJECTS[name]).splitlines()
    assert 10 <= len(first) < 80 and first.endswith(".")
    assert not rest or not rest[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_in_the_imperative_what_it_does(name):
    verb = inspect.getdoc(OBJECTS[name]).split()[0]
    assert verb.isalpha() and verb[0].isupper()
    assert not verb.endswith(("s", "ed")), f"{verb} is not imperative"


@pytest.mark.parametrize("name", FUNCTIONS + CLASSES)
def test_parameters_are_listed_as_they_are(name):
    """Whoever takes three things or more lists them; who lists any lists all."""
    listed, taken = (
        listed_parameters(OBJECTS[name]),
        taken_parameters(OBJECTS[name]),
    )
    if listed or len(taken) > 2:
        assert listed == taken


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_annotated(name):
    """The annotation gives the type, so that the text need not."""
    signature = inspect.signature(OBJECTS[name])
    types_of = [p.annotation for p in signature.parameters.values()]
    assert inspect.Parameter.empty not in [*types_of, signature.return_annotation]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_most_five_arguments_go_by_position(name):
    parameters = inspect.signature(OBJECTS[name]).parameters.values()
    by_position = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(by_position) <= 5
