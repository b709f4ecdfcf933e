"""From ids to environments: modules that register several, in this process and in new ones; and the catalogue of `envs`."""

from __future__ import annotations

import io
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import envs
from envs.registration import import_modules, make_env, modules_of, newest_version
from rl_rmsprop.cli.views import environments

ROOT = Path(__file__).parents[1]
MODULE = """
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

for name in ("First", "Second"):
    gym.register(f"Pair/{name}-v0", entry_point=CartPoleEnv, max_episode_steps=20)
"""
FIRST, SECOND = "pair_of_envs:Pair/First-v0", "Pair/Second-v0"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that registers two environments, to be found by new processes."""
    (tmp_path / "pair_of_envs.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_modules_of_ids_are_those_that_they_name():
    """Silent failure: a module is left out because another id of it came first, or the ids without one are taken for modules."""
    assert modules_of(["a:X-v0", "Y-v0", "b.c:ns/Z-v1", "a:W-v0"]) == ("a", "b.c")
    assert modules_of(["CartPole-v1"]) == ()


@pytest.mark.parametrize("ids", [(FIRST, SECOND), (SECOND, FIRST)])
def test_an_id_that_the_module_of_another_registers_is_found_in_either_order(ids: tuple[str, str], pair: Path) -> None:
    """Silent failure: accepted where the other one came first, refused where it comes later."""
    code = f"import envs; envs.import_modules(envs.modules_of({ids})); [envs.check_env_id(i) for i in {ids}]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pair)


def steps_in(env_id: str, modules: tuple[str, ...]) -> int:
    """Make the environment in this process; its time limit."""
    envs.import_modules(modules)
    return envs.make(env_id, (0,), 1).max_episode_steps or 0


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_new_process_knows_the_second_id_once_it_has_the_modules(method: str, pair: Path) -> None:
    """Silent failure: every run of the second environment fails in its worker, which never imported the first one's module."""
    with multiprocessing.get_context(method).Pool(1) as pool:
        with pytest.raises(ValueError, match=r"registered Gymnasium id, got 'Pair/Second-v0': "):
            pool.apply(steps_in, (SECOND, ()))
        assert pool.apply(steps_in, (SECOND, modules_of([SECOND, FIRST]))) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit('no licence')", "module 'bad_envs' cannot be imported: SystemExit: no licence"),
        ("1 / 0", "module 'bad_envs' cannot be imported: ZeroDivisionError: division by zero"),
        ("import no_such_thing", "in a module that can be imported, got 'bad_envs': No module named 'no_such_thing'"),
    ],
)
def test_a_module_that_fails_is_named(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a traceback of somebody's module, or a command that ends without a word."""
    (tmp_path / "bad_envs.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for refuse in (lambda: import_modules(["bad_envs"]), lambda: make_env("bad_envs:Bad-v0")):
        with pytest.raises(ValueError, match=message):
            refuse()


def test_an_old_version_is_named_with_the_newest():
    """Silent failure: results of CartPole-v0, with its 200 steps, are compared with published ones of v1."""
    assert newest_version("LunarLander-v3") == "LunarLander-v3"
    assert newest_version("tests.odd_envs:Odd/Plain-v0") == "tests.odd_envs:Odd/Plain-v0"
    console = Console(file=io.StringIO(), width=200)
    environments.show_one("CartPole-v0", console)
    assert "CartPole-v0 is an old version; the newest is CartPole-v1\n" in console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="must be given with its version, got 'CartPole': did you mean CartPole-v1"):
        environments.show_one("CartPole", console)
    environments.show_one("CartPole-v1", console := Console(file=io.StringIO(), width=200))
    assert "old version" not in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", envs.__all__)
def test_everything_public_has_an_example_that_runs(name: str) -> None:
    """Silent failure: a newcomer has to guess what shape the seeds are of. (The doctests of `make test` run the examples.)"""
    assert ">>> " in getattr(envs, name).__doc__
