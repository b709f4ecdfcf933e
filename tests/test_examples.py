"""Every example runs as it stands, for a moment, and writes the curves that it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

TINY: dict[str, tuple[list[str], str]] = {
    "cleanrl_a2c_or_ppo.py": (["--total-timesteps", "1024"], "1024 steps; mean return of the last"),
    "sb3_a2c.py": (["--total-timesteps", "1200"], "1200 steps; β "),
    "torchrl_snippet.py": (["--total-timesteps", "1600"], "1600 steps; return of the last episode: "),
    "lightning_snippet.py": (["--steps", "400"], "400 updates; the reward changed after 200; alarms after [2"),
}
"""Example → options that make it short, and what it says at its end."""
OPTIONAL = {"torchrl_snippet.py": "torchrl", "lightning_snippet.py": "lightning"}


def run(example: str, options: list[str], folder: Path) -> str:
    """What an example prints; its curves go to `folder`."""
    if example in OPTIONAL and find_spec(OPTIONAL[example]) is None:
        pytest.skip(f"{OPTIONAL[example]} is not installed")
    words = [sys.executable, str(EXAMPLES / example), *options, "--log-dir", str(folder / "curves")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(words, capture_output=True, encoding="utf-8", cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def scalars(folder: Path) -> dict[str, list[float]]:
    """All scalars of the event files below a folder."""
    values: dict[str, list[float]] = {}
    for place in {path.parent for path in folder.rglob("events.out.tfevents.*")}:
        events = EventAccumulator(str(place)).Reload()
        values |= {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return values


@pytest.mark.parametrize("example", TINY)
def test_an_example_runs_and_shows_what_its_optimizer_does(example: str, tmp_path: Path) -> None:
    """An example that has stopped to work is the first thing that a reader finds out."""
    options, last_words = TINY[example]
    assert last_words in run(example, options, tmp_path)
    found = scalars(tmp_path / "curves")
    assert {"optim/beta", "optim/E_q50", "optim/effective_lr_q50", "optim/update_rms", "detector/alarms"} <= found.keys()
    assert all(0 <= beta <= 0.99 + 1e-6 for beta in found["optim/beta"])
    assert max(found["optim/beta"]) > 0
    assert {path.name for path in tmp_path.iterdir()} == {"curves"}


def test_a_number_for_beta_is_taken_too(tmp_path: Path) -> None:
    """The first thing to try is the comparison with a fixed β."""
    run("cleanrl_a2c_or_ppo.py", ["--total-timesteps", "512", "--beta", "0.5"], tmp_path)
    assert set(scalars(tmp_path)["optim/beta"]) == {0.5}


def test_the_cleanrl_file_is_changed_in_three_marked_lines() -> None:
    """What it promises to whoever has such a file."""
    lines = (EXAMPLES / "cleanrl_a2c_or_ppo.py").read_text(encoding="utf-8").splitlines()
    marked = [line for line in lines if any(f"  # ({n})" in line for n in (1, 2, 3))]
    used = [line for line in lines if "Telemetry(" in line or "AdaptiveRMSprop(" in line or "telemetry." in line]
    assert len(marked) == 3
    assert marked == used
    assert any("https://github.com/vwxyzjn/cleanrl" in line and "MIT" in line for line in lines)


def test_every_example_is_tested_and_listed() -> None:
    """One that is in no test may be broken, one that is in no list is not read."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(TINY)
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}]({name})" in listed for name in TINY)


def test_no_example_has_the_name_of_a_package() -> None:
    """Python looks into a script's own folder first: stable_baselines3.py would import itself."""
    for path in EXAMPLES.glob("*.py"):
        assert find_spec(path.stem) is None, path
