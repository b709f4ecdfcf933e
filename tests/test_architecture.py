"""Imports point down only, from file to file: the command line → studies → agents, envs → the leaves of rl_rmsprop."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "agents": {"agents", "torch", "numpy"},
    "envs": {"envs", "gymnasium", "numpy", "envpool", "mujoco", "minatar"},
}
SHARED = {
    "envs": {"rl_rmsprop.grammar", "rl_rmsprop.native.library", "rl_rmsprop.seeding", "rl_rmsprop.storage.snapshot"},
    "agents": {"rl_rmsprop.native.library", "rl_rmsprop.seeding", "rl_rmsprop.storage.snapshot"},
}
"""What a package may take from the leaves: the grammar of β rules for shifts, compiled code, one random stream a purpose,
snapshots."""
FLOORS: tuple[tuple[str, ...], ...] = (
    ("rl_rmsprop.companions", "rl_rmsprop.grammar", "rl_rmsprop.machine", "rl_rmsprop.native", "rl_rmsprop.published",
     "rl_rmsprop.seeding", "rl_rmsprop.storage", "rl_rmsprop.version", "rl_rmsprop.walkthrough"),
    ("rl_rmsprop.kernels", "rl_rmsprop.schedules", "rl_rmsprop.signals", "rl_rmsprop.reactions", "rl_rmsprop.detectors",
     "rl_rmsprop.laws", "rl_rmsprop.rules", "rl_rmsprop.step_sizes"),
    ("rl_rmsprop.optimizer", "rl_rmsprop.baselines", "rl_rmsprop.forecast", "rl_rmsprop.telemetry"),
    ("agents", "envs", "rl_rmsprop.integrations"),
    ("rl_rmsprop.study.spec",),
    ("rl_rmsprop.study.statistics", "rl_rmsprop.study.training"),
    ("rl_rmsprop.study.tuning", "rl_rmsprop.study.results"),
    ("rl_rmsprop.study.execution",),
    ("rl_rmsprop.study.report", "rl_rmsprop.study.evaluation", "rl_rmsprop.study.replay",
     "rl_rmsprop.study.video", "rl_rmsprop.study.plan"),
    ("rl_rmsprop.study.run", "rl_rmsprop.study.suite", "rl_rmsprop.diagnosis"),
    ("rl_rmsprop.cli", "rl_rmsprop.__main__"),
    ("rl_rmsprop.api",),
)  # fmt: skip
"""The floors of the house, from the ground up: a room may import from its own floor and from those below."""
UPPER = ("agents", "envs", "rl_rmsprop.study", "rl_rmsprop.diagnosis", "rl_rmsprop.cli", "rl_rmsprop.__main__", "rl_rmsprop.api")
FILES = sorted(file for package in ("agents", "envs", "rl_rmsprop") for file in (ROOT / package).rglob("*.py"))
ABOVE = {"study", "diagnosis", "cli", "api", "integrations"}
LEAVES = [file for file in FILES if file.parts[len(ROOT.parts)] == "rl_rmsprop" and not ABOVE & {*file.relative_to(ROOT).parts}
          and file.name != "__main__.py"]  # fmt: skip


def module_of(file: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file) for file in FILES}


def project_imports(file: Path) -> set[str]:
    """The files of the project, by module, that a file imports; of `from package import module` the module."""
    package = ".".join(file.relative_to(ROOT).parent.parts)
    names = imported_modules(file.read_text(encoding="utf-8"), package)
    modules = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return (modules & MODULES) - {module_of(file)}


def floor_of(module: str) -> int:
    """The number of a module's floor."""
    return next(number for number, rooms in enumerate(FLOORS) for room in rooms if within(module, room))


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


def test_no_file_imports_itself_through_others():
    """Silent failure: two files can be understood, tested and changed only together; imports hide inside functions."""
    graph = {module_of(file): project_imports(file) for file in FILES}
    left = dict(graph)
    while ends := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in ends:
            del left[module]
    assert not left, f"circle among {sorted(left)}"


@pytest.mark.parametrize("file", [file for file in FILES if module_of(file) != "rl_rmsprop"], ids=module_of)
def test_a_file_imports_only_from_its_own_floor_and_those_below(file):
    """Silent failure: a lower room comes to know an upper one, and the upper one cannot be exchanged any more."""
    own = floor_of(module_of(file)) if module_of(file) != "rl_rmsprop.study" else len(FLOORS)
    upward = [name for name in project_imports(file) - {"rl_rmsprop", "rl_rmsprop.study"} if floor_of(name) > own]
    assert not upward


@pytest.mark.parametrize("file", [file for file in LEAVES if module_of(file) != "rl_rmsprop"], ids=module_of)
def test_leaves_import_nothing_above_them(file):
    """Silent failure: whoever wants only the optimizer gets agents, environments and their dependencies with it.

    The package's own file names what is public, from every floor, and loads none of it: see below.
    """
    for name in imported_modules(file.read_text(encoding="utf-8"), ".".join(file.relative_to(ROOT).parent.parts)):
        assert not any(within(name, upper) for upper in UPPER), f"{file.name} imports {name}"


def test_whoever_imports_agents_or_envs_has_checked_whose_they_are():
    """Silent failure: another package named `agents` is imported, and what is said about it is a name that is missing in it."""
    users = {
        module_of(file) for file in FILES for name in project_imports(file) if within(name, "agents") or within(name, "envs")
    }
    checked = ("rl_rmsprop.study", "rl_rmsprop.api")  # in the packages' own files
    outside = {user for user in users if within(user, "rl_rmsprop") and not any(within(user, room) for room in checked)}
    assert outside <= {"rl_rmsprop.cli.compare", "rl_rmsprop.cli.output", "rl_rmsprop.cli.views.environments",
                       "rl_rmsprop.diagnosis.sameness"}  # fmt: skip  # reached through cli/verbs.py, or after the same check


def private_names_of_torch(source: str) -> list[str]:
    """Dotted names in a file that begin with `torch` and have a part that begins with one underscore."""
    names = {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return sorted(name for name in names if re.fullmatch(r"torch(\.\w+)*\._[a-z]\w*", name))


def test_private_names_of_torch_are_in_one_file():
    """Silent failure: a torch that renames one of them breaks a room that has no fallback for it."""
    assert private_names_of_torch("torch._foreach_norm(x); torch.optim._multi_tensor; torch.sum") == [
        "torch._foreach_norm",
        "torch.optim._multi_tensor",
    ]
    users = [module_of(file) for file in FILES if private_names_of_torch(file.read_text(encoding="utf-8"))]
    assert set(users) <= {"rl_rmsprop.kernels.torch_internals"}


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
    names = [module_of(file) for file in LEAVES]
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
    assert own <= {"rl_rmsprop", "rl_rmsprop.native", "rl_rmsprop.storage", "rl_rmsprop.version", *SHARED.get(package, set())}
