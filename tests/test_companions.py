"""Packages named `agents` and `envs` that are not those of rl-rmsprop are named, in one line, with what to do about them."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from rl_rmsprop import companions

ROOT = Path(__file__).parents[1]
REMEDY = "install rl-rmsprop into a virtual environment of its own, without that folder in PYTHONPATH"


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with another package named agents, which says on stdout when it is run."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("print('the stranger runs')\n\nclass Agent: ...\n")
    return tmp_path


def python(folders: list[Path], *words: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python that looks into these folders first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=folders[0])


@pytest.mark.parametrize(
    "line", ["train --env CartPole-v1", "compare study.toml", "rules", "train --help", "completion bash", "--help"]
)
def test_the_command_line_names_a_foreign_package(line: str, stranger: Path) -> None:
    """`cannot import name 'A2C' from 'agents'` says neither what is wrong nor what to do."""
    done = python([stranger, ROOT], "-m", "rl_rmsprop", *line.split())
    place = stranger / "agents" / "__init__.py"
    expected = f"error: rl-rmsprop has a package named agents, but `import agents` finds another one, {place}: {REMEDY}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize("statement", ["import rl_rmsprop.study.run", "from rl_rmsprop.study.spec.study import Study"])
def test_python_names_a_foreign_package(statement: str, stranger: Path) -> None:
    """The same for whoever runs studies from Python, as the ImportError that it is."""
    code = f"try:\n    {statement}\nexcept ImportError as error:\n    print(type(error).__name__, error.name, error)"
    done = python([stranger, ROOT], "-c", code)
    assert done.stdout.startswith("WrongPackage agents rl-rmsprop has a package named agents, but `import agents` finds another")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_optimizer_and_its_telemetry_need_neither_package(stranger: Path) -> None:
    """A practitioner who has another `agents` must not be kept from the drop-in."""
    code = """
import torch
from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry
weight = torch.nn.Parameter(torch.ones(3))
optimizer = AdaptiveRMSprop([weight], lr=0.1, alpha="cusum:arl=50000,max=0.99")
telemetry = OptimizerTelemetry(optimizer, every=1)
weight.square().sum().backward()
optimizer.step()
telemetry.log(lambda step, values: print(step, values["optim/beta"]), 1)
"""
    done = python([stranger, ROOT], "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 0.0\n", "")


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """A folder `envs` of results in the working directory is no package: what is missing is ours."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "rl_rmsprop").symlink_to(ROOT / "rl_rmsprop")
    (tmp_path / "agents").symlink_to(ROOT / "agents")
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f)]; from rl_rmsprop.cli import main"
    )
    done = python([tmp_path], "-c", f"{code}; sys.exit(main(['rules']))")
    missing = f"rl-rmsprop's package envs is missing, which belongs beside rl_rmsprop in {tmp_path}: install rl-rmsprop again"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {missing}\n")


def test_a_package_that_was_imported_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook another `envs` may be there already: no search of sys.path would find it."""
    other = types.ModuleType("envs")
    other.__file__ = "/elsewhere/envs/__init__.py"
    monkeypatch.setitem(sys.modules, "envs", other)
    with pytest.raises(companions.WrongPackage, match=r"finds another one, /elsewhere/envs/__init__\.py: install"):
        companions.check()


def test_a_package_installed_over_ours_is_named_with_its_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one site-packages, the path is the same as ours was: only the distribution tells."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    info = tmp_path / "openai_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 1.0\n")
    (info / "RECORD").write_text("agents/__init__.py,,\nopenai_agents-1.0.dist-info/METADATA,,\n")
    (info / "top_level.txt").write_text("agents\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "agents")
    assert f"{tmp_path}/agents/__init__.py (of openai-agents): install" in companions.fault_of("agents")


def test_our_own_packages_are_recognised() -> None:
    """A check that names our own packages would refuse every study."""
    companions.check()
    done = python(
        [ROOT], "-c", "from rl_rmsprop import companions; companions.check(); import sys; print('agents' in sys.modules)"
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
