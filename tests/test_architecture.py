"""Imports point down only: study → agents, envs and the leaves of rl_rmsprop, and never back."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "agents": {"agents", "torch", "numpy"},
    "envs": {"envs", "gymnasium", "numpy", "envpool"},
}
SHARED = {"envs": {"rl_rmsprop.grammar", "rl_rmsprop.state"}, "agents": {"rl_rmsprop.state"}}
"""What a package may take from the leaves: shifts are written in the grammar of β rules, all state is kept in the same way."""
UPPER = ("agents", "envs", "rl_rmsprop.study", "rl_rmsprop.cli", "rl_rmsprop.__main__")
LEAVES = sorted(
    p
    for pattern in ("*.py", "detectors/*.py", "walkthrough/*.py")
    for p in (ROOT / "rl_rmsprop").glob(pattern)
    if p.name != "__main__.py"
)


def imported_modules(source: str, package: str) -> set[str]:
    """Full names of everything that a file of `package` imports, anywhere in it.

    `from a import b` counts as a.b, since b may be a module.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_imports_are_found_wherever_and_however_they_are_written():
    """Silent failure: the tests below pass because the search misses relative or indented imports."""
    source = "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from .g import h\n    from ..i import j as k"
    assert imported_modules(source, "p.q") == {"a.b", "c.d", "p.q.e", "p.q.g.h", "p.i.j"}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_middle_layer_imports_only_what_it_stands_on(package):
    """Silent failure: agents come to know what β is, or environments need torch, and neither can be used alone any more."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        parent = ".".join(file.relative_to(ROOT).parent.parts)
        for name in imported_modules(file.read_text(encoding="utf-8"), parent):
            top = name.split(".")[0]
            shared = any(within(name, leaf) for leaf in SHARED.get(package, set()))
            assert shared or top in ALLOWED[package] or top in sys.stdlib_module_names, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("file", LEAVES, ids=lambda p: p.name)
def test_leaves_import_nothing_above_them(file):
    """Silent failure: whoever wants only the optimizer gets agents, environments and their dependencies with it."""
    for name in imported_modules(file.read_text(encoding="utf-8"), ".".join(file.relative_to(ROOT).parent.parts)):
        assert not any(within(name, upper) for upper in UPPER), f"{file.name} imports {name}"


def loaded_after(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    """Silent failure: `rl-rmsprop --help` waits two seconds for torch."""
    loaded = loaded_after("import rl_rmsprop")
    assert "rl_rmsprop" in loaded
    assert not loaded & {"torch", "numpy", "gymnasium", "tensorboard", "matplotlib", "agents", "envs"}


def test_using_the_leaves_loads_nothing_above_them():
    """Silent failure: an import hidden from the syntax tree (importlib, a lazy attribute) points up."""
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in LEAVES]
    loaded = loaded_after(f"import {', '.join(names)}; rl_rmsprop.AdaptiveRMSprop")
    assert set(names) <= loaded
    assert not {name for name in loaded if any(within(name, upper) for upper in UPPER)}
    assert not loaded & {"gymnasium", "river"}


@pytest.mark.parametrize(("package", "stranger"), [("agents", "gymnasium"), ("envs", "torch")])
def test_middle_layer_does_not_load_its_neighbours_library(package, stranger):
    """Silent failure: an allowed import drags the forbidden one in at second hand."""
    loaded = loaded_after(f"import {package}")
    assert package in loaded
    assert stranger not in loaded
    own = {name for name in loaded if within(name, "rl_rmsprop")}
    assert own <= {"rl_rmsprop", *SHARED.get(package, set())}
