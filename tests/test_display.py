"""What a study shows while it runs, and how it ends when it is told to."""

import io
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from rl_rmsprop.study.batch import BatchSpec
from rl_rmsprop.study.display import Watch, follow
from rl_rmsprop.study.optimizers import make_arm
from rl_rmsprop.study.presets import make_agent
from rl_rmsprop.study.recorder import Progress
from rl_rmsprop.study.runner import Event

AGENT = make_agent("a2c", "CartPole-v1", {})
SPECS = [
    BatchSpec("x", "CartPole-v1", "a2c", AGENT, make_arm("cusum:arl=50000,max=0.99"), (0, 1), 1000),
    BatchSpec("x", "CartPole-v1", "a2c", AGENT, make_arm("adam", baseline=True), (0, 1, 2), 1000),
]


def test_progress_counts_the_steps_of_all_runs() -> None:
    """A bar that counts one batch alone promises an end that never comes."""
    watch = Watch(SPECS)
    assert watch.total == 5000
    watch.take(Event(0, Progress(500, 20.0, 0.9, 1.0)))
    watch.take(Event(1, Progress(300, 20.0, math.nan, 0.0)))
    assert watch.steps == 800
    watch.take(Event(0))
    assert watch.steps == 2300


def test_a_line_has_beta_and_alarms_only_where_there_are_some() -> None:
    """Adam has neither, and zero alarms of a detector that is not there would read as a result."""
    watch = Watch(SPECS)
    detector, adam = Event(0, Progress(500, 20.25, 0.9, 3.0)), Event(1, Progress(300, 11.5, math.nan, 0.0))
    for event in (detector, adam):
        watch.take(event)
    assert watch.line(detector).endswith(" steps/s · cusum:arl=50000,max=0.99: return 20.2, β 0.900, alarms 3")
    assert watch.line(adam).endswith(" steps/s · adam: return 11.5")


@pytest.mark.parametrize("width", [50, 80, 200])
def test_on_a_terminal_of_any_width_the_percentage_is_seen(width: int) -> None:
    """Columns that give way to each other leave an ellipsis where the number was."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    failures = follow([Event(1, error="it fell over"), Event(0, Progress(1000, 20.0, 0.9, 1.0))], SPECS, console)
    assert " 80 % " in out.getvalue()
    assert ("━" in out.getvalue()) == (width == 200)
    assert failures == ["failed: CartPole-v1 · adam · seeds 0, 1, 2: it fell over"]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_study_that_is_told_to_stop_does_so_quietly(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C reaches the workers too: each would print a traceback, or train on unseen."""
    line = "-u -m rl_rmsprop train --env CartPole-v1 --steps 2000000 --seeds 0-1 --workers 2 --out x"
    study = subprocess.Popen(
        [sys.executable, *line.split()], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert study.stdout is not None
    for said in study.stdout:
        if "steps/s" in said:  # both workers have begun
            break
    if sent == signal.SIGINT:
        study.send_signal(signal.SIGSTOP)  # the workers get it first, or the test would depend on who is faster
        os.killpg(study.pid, sent)  # as a terminal does
        time.sleep(1)
        study.send_signal(signal.SIGCONT)
    else:
        study.send_signal(sent)
    _, errors = study.communicate(timeout=60)  # returns when the last process that holds the pipe has ended
    assert study.returncode == code
    assert errors == ("interrupted\n" if sent == signal.SIGINT else "")
