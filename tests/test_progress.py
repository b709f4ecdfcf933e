"""What a study shows while it runs."""

import io
import math

import pytest
from rich.console import Console

from rl_rmsprop.cli.views.progress import ProgressState, ProgressView
from rl_rmsprop.study.execution.executor import Event
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.monitor import Progress
from rl_rmsprop.study.training.train import BatchTask
from tests.builders import batch_of

AGENT = make_agent("a2c", "CartPole-v1", {})
SPECS = [
    BatchTask(batch_of("x", "CartPole-v1", "a2c", AGENT, make_arm("cusum:arl=50000,max=0.99"), (0, 1), 1000)),
    BatchTask(batch_of("x", "CartPole-v1", "a2c", AGENT, make_arm("adam", baseline=True), (0, 1, 2), 1000)),
]


def test_progress_counts_the_steps_of_all_runs() -> None:
    """A bar that counts one batch alone promises an end that never comes."""
    watch = ProgressState(SPECS)
    assert watch.total == 5000
    watch.take(Event(0, Progress(500, 20.0, 0.9, 1.0)))
    watch.take(Event(1, Progress(300, 20.0, math.nan, 0.0)))
    assert watch.steps == 800
    watch.take(Event(0, ended=True))
    assert watch.steps == 2300


def test_a_line_has_beta_and_alarms_only_where_there_are_some() -> None:
    """Adam has neither, and zero alarms of a detector that is not there would read as a result."""
    watch = ProgressState(SPECS)
    detector, adam = Event(0, Progress(500, 20.25, 0.9, 3.0)), Event(1, Progress(300, 11.5, math.nan, 0.0))
    watch.take(Event(0, Progress(100, 20.25, 0.9, 3.0)))
    for event in (detector, adam):
        watch.take(event)
    assert watch.line(detector).endswith(" steps/s · cusum:arl=50000,max=0.99: return 20.2, β 0.900, alarms 3")
    assert watch.line(adam).endswith(" steps/s · adam: return 11.5")


def test_the_final_evaluation_is_shown_as_such() -> None:
    """At 100 % for minutes, a study looks as if it hung; and an arm is called here what its report calls it."""
    batch = batch_of("x", "CartPole-v1", "a2c", AGENT, make_arm("0.99"), (0, 1), 1000)
    watch = ProgressState([BatchTask(batch)])
    event = Event(0, Progress(2000, 20.25, 0.99, 0.0, "final evaluation, 3 of 200 episodes"))
    watch.take(event)
    assert watch.line(event) == "final evaluation, 3 of 200 episodes · β = 0.99: return 20.2, β 0.990, alarms 0"


def test_the_rate_is_of_what_is_trained_while_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers load for seconds before their first step, and a resumed study has steps of another day."""
    now = [100.0]
    monkeypatch.setattr("rl_rmsprop.cli.views.progress.time.perf_counter", lambda: now[0])
    out = io.StringIO()

    view = ProgressView(Console(file=out, width=100, color_system=None))
    view.begin(SPECS[:1])
    for seconds, steps in ((10.0, 1000), (10.0, 1500), (5.0, 1750)):
        now[0] += seconds
        view.event(Event(0, Progress(steps, 20.0, math.nan, 0.0)))
    view.event(Event(0, ended=True))
    view.end()
    output = [line.split(" · cusum")[0] for line in out.getvalue().splitlines()]
    assert output == [" 50%", " 75% · 10 s left · 50 steps/s"]


@pytest.mark.parametrize("width", [50, 80, 200])
def test_on_a_terminal_of_any_width_the_percentage_is_seen(width: int) -> None:
    """Columns that give way to each other leave an ellipsis where the number was."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    view = ProgressView(console)
    view.begin(SPECS)
    for event in (Event(1, ended=True, error="it fell over"), Event(0, Progress(1000, 20.0, 0.9, 1.0))):
        view.event(event)
    view.end()
    assert " 80 % " in out.getvalue()
    assert ("━" in out.getvalue()) == (width == 200)
