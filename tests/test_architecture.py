"""How the package is laid out: imports point one way, and files stay small."""

import ast
from pathlib import Path

import pytest

import jaxcoadd

PACKAGE = Path(jaxcoadd.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    {"arrays", "stages", "photometry", "sky"},
    {"tiling", "folding"},
    {"masks", "selection"},
    {"spans", "statistics", "interpolation", "resampling"},
    {"psfs", "matching", "detection"},
    {"warps", "stacking", "bright_objects"},
    {"zero_points", "weights"},
    {"inputs"},
    {"exposures", "coadd_psfs"},
    {"coadds"},
    {"accumulation", "sharding", "simulation", "streaks"},
    {"artifacts"},
    {"io"},
    {"warping"},
    {"assembly", "pictures"},
    {"demo"},
    {"doctor"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
"""Parts of the package; each imports from those above it, and from itself, alone."""

APART = {"__init__", "reference"}
"""The list of names, and the specification, which must not share a mistake."""

HOST = {
    "sky",
    "coadd_psfs",
    "detection",
    "artifacts",
    "streaks",
    "inputs",
    "io",
    "warping",
    "assembly",
    "pictures",
    "demo",
    "doctor",
    "commands",
    "cli",
}
"""The parts that may use astropy."""

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50


def name_of(path):
    return str(path.relative_to(PACKAGE))


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path):
    """Yield the absolute names of what a file imports, wherever in the file."""
    package = ("jaxcoadd", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*start, *filter(None, [node.module])])
            # `from jaxcoadd import io` names a part of it.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_parts(path):
    """Return the parts of the package that a file imports."""
    names = (name.split(".") for name in imported_modules(path))
    return {parts[1] for parts in names if parts[0] == "jaxcoadd" and len(parts) > 1}


def layer_of(part):
    return next((index for index, layer in enumerate(LAYERS) if part in layer), None)


def code_lines(node, source):
    """Count the lines of a function that are neither blank, comment nor docstring."""
    start = node.lineno
    if ast.get_docstring(node):
        start = node.body[0].end_lineno + 1
    lines = source.splitlines()[start - 1 : node.end_lineno]
    return sum(bool(line.strip()) and line.strip()[0] != "#" for line in lines)


def functions(path):
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, source


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_has_a_layer_and_imports_from_lower_ones(path):
    part = part_of(path)
    if part in APART:
        return
    own = layer_of(part)
    assert own is not None, f"{part} is in no layer"
    for other in imported_parts(path) - {part, "__version__"}:
        layer = layer_of(other)
        assert layer is not None and layer < own, f"{part} imports {other}"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if part_of(p) == "reference"], ids=name_of
)
def test_the_reference_imports_nothing_but_itself_and_numpy(path):
    roots = {name.split(".")[0] for name in imported_modules(path)} - {"jaxcoadd"}
    assert roots <= {
        "numpy",
        "math",
        "dataclasses",
        "collections",
        "itertools",
        "functools",
    }
    assert imported_parts(path) <= {"reference"}


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if part_of(p) not in HOST], ids=name_of
)
def test_the_core_imports_no_files_or_plots(path):
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert roots.isdisjoint({"astropy", "matplotlib", "rich"})


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_sorts_along_the_warps(path):
    slow = {"sort", "argsort", "median", "nanmedian", "percentile", "quantile"}
    slow |= {"nanpercentile", "nanquantile"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id not in ("jnp", "lax") or node.attr not in slow


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_core_leaves_jit_and_settings_to_the_caller(path):
    if part_of(path) in HOST:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = f"{node.value.id}.{node.attr}"
            assert used not in ("jax.jit", "eqx.filter_jit", "jax.config")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_small(path):
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_MODULE_LINES
    for node, source in functions(path):
        assert code_lines(node, source) <= MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_annotations_can_be_checked(path):
    names = set(imported_modules(path))
    assert "__future__.annotations" not in names
