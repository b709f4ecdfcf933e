"""What is installed says the same everywhere: version, authors, extras, types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import rl_rmsprop
from rl_rmsprop.study.spec.run_config import versions
from tests import typed_api

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

CITATION_KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact", "repository-code", "title",
    "type", "url", "version",
}  # fmt: skip
"""Of the Citation File Format 1.2.0: https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema.json."""


def test_the_version_stands_in_one_place() -> None:
    """A wheel that calls itself otherwise than the package in it cannot be reported about."""
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "rl_rmsprop.version.__version__"}
    source = ast.parse((ROOT / "rl_rmsprop" / "version.py").read_text(encoding="utf-8"))
    assigned = [node for node in source.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"]
    assert [ast.literal_eval(node.value) for node in assigned] == [rl_rmsprop.__version__]  # a literal: read without importing
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", rl_rmsprop.__version__)
    assert versions()["rl-rmsprop"] == rl_rmsprop.__version__


def test_the_version_is_known_without_torch() -> None:
    """`rl-rmsprop --version` and tools that ask for it would wait two seconds."""
    code = "import rl_rmsprop, sys; print(rl_rmsprop.__version__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == [rl_rmsprop.__version__, "False"]


def test_the_citation_file_is_valid_and_says_what_the_package_says() -> None:
    """A citation of another version, or of nobody, is what stands in papers for ever."""
    assert CITATION.keys() >= {"authors", "cff-version", "message", "title"}
    assert CITATION.keys() <= CITATION_KEYS
    assert (CITATION["cff-version"], CITATION["type"]) == ("1.2.0", "software")
    assert str(CITATION["version"]) == rl_rmsprop.__version__
    assert CITATION["title"] == PROJECT["project"]["name"]
    assert CITATION["license"] == PROJECT["project"]["license"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["project"]["authors"]]
    assert all(author.keys() == {"name"} for author in CITATION["authors"])  # an entity; persons have given-names
    assert CITATION["keywords"] == PROJECT["project"]["keywords"]
    assert all(isinstance(CITATION[key], str) for key in ("abstract", "message", "title", "license"))


def test_the_table_of_extras_is_that_of_the_package() -> None:
    """An extra that is not in the table is not found; one that is only there cannot be installed."""
    table = CONTRIBUTING.partition("| extra |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*PROJECT["project"]["optional-dependencies"]}


def test_what_the_guide_names_exists() -> None:
    """A guide to files that have moved is worse than none."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", CONTRIBUTING)) <= targets
    names = set(re.findall(r"`([\w./]+/[\w./]*|\w+\.(?:py|toml|md|cff))`", CONTRIBUTING)) - {
        "verbs.py",
        "report/",
        "laws/",
        "detectors/",
    }
    missing = {name for name in names if not (ROOT / name).exists() and not (ROOT / "rl_rmsprop" / name).exists()}
    assert missing - {"__init__.py"} == set()


@pytest.mark.parametrize("package", ["rl_rmsprop", "agents", "envs"])
def test_every_package_says_that_it_has_types(package: str) -> None:
    """Without the marker a type checker takes everything for Any, and finds nothing in the code of users."""
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_exact_versions_are_those_of_what_is_asked_for() -> None:
    """A dependency without an exact version makes numbers that cannot be made again."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = {plain(line.partition("==")[0]) for line in lines if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [
        *PROJECT["project"]["dependencies"],
        *(entry for name, extra in extras.items() if name not in ("bench", "minatar") for entry in extra),
    ]
    names = {plain(re.split(r"[\[<>=!~ ]", entry)[0]) for entry in asked} - {"rl-rmsprop"}
    assert names - exact == set()


def plain(name: str) -> str:
    """The name of a distribution in its usual form."""
    return name.strip().lower().replace("_", "-")


def test_the_typed_interface_also_runs() -> None:
    """What type checkers are shown must be what the package does."""
    assert typed_api.use()["optim/beta"] == 0.0
