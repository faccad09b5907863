"""What the documents say is so: examples run, links lead somewhere, lists are whole."""

import doctest
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcoadd
from jaxcoadd import cli, io
from jaxcoadd.assembly import Settings, method_settings, methods, settings
from tests import fits_files as files
from tests.conftest import GOLDEN
from tests.test_golden import COVERED

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CHANGELOG.md", *DOCS]


def name_of(path):
    return path.name


def fenced(text, language=""):
    """Return the blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def table(name, page="command.md"):
    """Return the rows of a table between two marks, without markup."""
    text = (ROOT / "docs" / page).read_text()
    body = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", text, re.S)
    rows = [line.strip("| ").split(" | ") for line in body[1].splitlines()[2:]]
    return [[cell.replace("`", "") for cell in row] for row in rows]


# Examples


def modules():
    """Return the names of all modules but the one that runs the command."""
    found = pkgutil.walk_packages(jaxcoadd.__path__, "jaxcoadd.")
    return [module.name for module in found if not module.name.endswith("__main__")]


@pytest.mark.slow
@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_are_true(name):
    """They know their module, the public names, `jax`, `jnp` and `np`."""
    module = importlib.import_module(name)
    public = {other: getattr(jaxcoadd, other) for other in jaxcoadd.__all__}
    known = public | {"jax": jax, "jnp": jnp, "np": np} | vars(module)
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(module, globs=known):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if fenced(p.read_text(), "python")], ids=name_of
)
def test_python_in_a_page_runs(page, tmp_path, monkeypatch):
    """The blocks of a page follow one another; they run beside the package."""
    (tmp_path / "jaxcoadd").symlink_to(ROOT / "jaxcoadd")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in fenced(page.read_text(), "python"):
        exec(compile(block, str(page), "exec"), names)


def test_the_readme_differentiates_and_compiles():
    (block,) = fenced(README.read_text(), "python")
    for name in ("read_warp", "stack_warps", "jax.jit(jc.coadd)", "jax.grad"):
        assert name in block
    assert len([line for line in block.splitlines() if line]) <= 10


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_a_page_imports_public_names_only(page):
    for block in fenced(page.read_text(), "python"):
        inner = re.findall(r"jaxcoadd\.(\w+)|from jaxcoadd import (.*)", block)
        for module, names in inner:
            for name in filter(None, [module, *names.split(", ")]):
                assert name in jaxcoadd.__all__


# The README


def test_the_readme_is_short():
    assert len(README.read_text().split()) < 400


def test_one_command_installs_and_tests():
    """The block after the line is taken as it stands by whoever checks the project."""
    block = re.search(r"^Run the tests:\n\n```\n(.*?)\n```$", README.read_text(), re.M)
    assert block[1] == (
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "
        ".venv/bin/python -m pytest -n 2"
    )
    assert README.read_text().count("Run the tests:") == 1


def test_the_extras_that_the_readme_installs_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"'\.\[([\w,]+)\]'", README.read_text())
    extras = {name for group in named for name in group.split(",")}
    assert extras == {"cli", "plot", "sky", "test"}
    assert extras <= set(project["optional-dependencies"])
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in README.read_text()


# Links and names


def anchors(page):
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        place, _, anchor = target.partition("#")
        linked = page.parent / place if place else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_and_picture_is_reached_from_the_readme():
    seen, waiting = set(), [README]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        if page.suffix == ".md" and "data" not in page.parts:
            links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
            waiting += [page.parent / link for link in links]
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert seen >= {path.resolve() for path in [*DOCS, *pictures]}
    assert all(path.stat().st_size < 300_000 for path in pictures)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_on_a_machine(page):
    places = re.findall(r"(?<![\w.])(?:/|[A-Z]:\\)\w+[/\\]\S*", page.read_text())
    assert not places


def test_modules_that_the_data_flow_names_exist():
    page = (ROOT / "docs" / "data_flow.md").read_text()
    named = set(re.findall(r"`([\w/]+\.pyi?)`", page))
    assert len(named) > 20
    for name in named:
        assert (ROOT / "jaxcoadd" / name).exists() or (ROOT / name).exists(), name


def test_recorded_cases_that_the_parity_page_names_exist():
    page = (ROOT / "docs" / "parity.md").read_text()
    kinds = "stack|weight|interp|online|zeropoint|bright|real"
    named = set(re.findall(rf"`((?:{kinds})_\w+)`", page))
    assert len(named) > 40
    for name in named:
        assert any(GOLDEN.glob(f"{name}_*")) or any(GOLDEN.glob(f"{name}.*")), name


def test_every_family_of_recorded_cases_is_replayed():
    assert {path.name.split("_")[0] for path in GOLDEN.glob("*_*")} == set(COVERED)


def test_citation_and_changes_are_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {jaxcoadd.__version__}\n" in citation
    assert f"\n## {jaxcoadd.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == jaxcoadd.__version__
    assert f"\nlicense: {project['license']}\n" in citation


# The command


def as_written(value):
    """Return a default of the settings as the page writes it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {number}" for key, number in value.items())
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_table_of_settings_is_that_of_the_code():
    rows = {row[0]: row for row in table("settings")}
    assert list(rows) == list(settings.FIELDS)
    for name, (_, lsst, default, meaning) in rows.items():
        assert default == as_written(getattr(Settings(), name)), name
        expected = [k for k, ours in settings.LSST_FIELDS.items() if ours == name]
        if expected:
            assert [lsst] == expected
        else:
            assert lsst in ("–", "see below", "statistic")  # noqa: RUF001
        assert meaning


@pytest.mark.parametrize("name", method_settings.TABLES)
def test_the_tables_of_methods_are_those_of_the_code(name):
    of = method_settings.TABLES[name]
    shown = method_settings.as_text(methods.METHODS[of.methods[0]])
    rows = {row[0]: row for row in table(name)}
    assert list(rows) == list(of.fields)
    for key, (_, lsst, default, meaning) in rows.items():
        names = [theirs for theirs, ours in of.lsst.items() if ours == key]
        assert lsst in names or (lsst == "–" and not names)  # noqa: RUF001
        plain = re.sub(r"[()']", "", shown[f"{name}.{key}"])
        assert default in (plain, plain.lower()) and meaning
    page = (ROOT / "docs" / "command.md").read_text()
    assert all(f"`{name}.{switch}" in page for switch in of.switches)


def test_the_tables_of_lsst_names_are_those_of_the_code():
    assert [row[0] for row in table("switches")] == list(settings.LSST_SWITCHES)
    listed = {ours: lsst for ours, lsst in table("statistics")}
    assert set(listed) == set(settings.STATISTICS)
    for lsst, kind in settings.LSST_STATISTICS.items():
        assert listed[kind.__name__] == lsst


def test_the_table_of_a_mapping_is_that_of_the_code():
    keys = [key for row in table("reader") for key in row[0].split(", ")]
    fields = io.ReaderMapping.__dataclass_fields__
    assert sorted(keys) == sorted(["preset", *fields])
    page = (ROOT / "docs" / "command.md").read_text()
    for preset in io.PRESETS:
        assert f"\n| `{preset}` |" in page


def test_exit_codes_are_those_of_the_code():
    page = (ROOT / "docs" / "command.md").read_text()
    rows = re.findall(r"^\| (\d[\d or,]*) \| (.*) \|$", page, re.MULTILINE)
    listed = ", ".join(f"{code} {meaning}" for code, meaning in rows)
    assert cli.EXIT_CODES == f"exit codes: {listed}"


def test_every_option_of_assemble_is_explained(capsys):
    assert cli.main(["assemble", "--help"]) == cli.DONE
    page = (ROOT / "docs" / "command.md").read_text()
    options = set(re.findall(r"(--[a-z-]+)", capsys.readouterr().out))
    assert len(options) > 8
    for option in options - {"--help", "--quiet", "--verbose"}:
        assert f"`{option}" in page, option


@pytest.mark.slow
def test_a_coadd_holds_what_the_page_says(tmp_path):
    scene = files.make_scene()
    scene = scene._replace(mask=scene.mask * 0)
    warp = files.write_sample(tmp_path / "warp.fits", scene)
    output = tmp_path / "coadd.fits"
    assert cli.main(["assemble", str(warp), "-q", f"--output={output}"]) == cli.DONE
    found = io.read_coadd(output)
    assert [row[0] for row in table("inputs")] == found.inputs.colnames
    page = (ROOT / "docs" / "command.md").read_text()
    with files.fits.open(output) as written:
        for hdu in written:
            assert f"\n| `{hdu.name}` |" in page
    for card in ("MAGZERO", "FLUXMAG0", "NINPUTS", "DATE"):
        assert card in found.header and card in page
