"""The arms and the report in TensorBoard, while a study trains and after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_rmsprop.study.execution.executor import Event, Task
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.report import aggregates, tensorboard_report
from rl_rmsprop.study.report.aggregates import LiveAggregates, State, refresh
from rl_rmsprop.study.report.document import Cautions, Code, Heading, Paragraph, Picture
from rl_rmsprop.study.report.plotting import COLOURS, new_figure, save
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.run_files import ERROR, METRICS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.telemetry import tags
from tests.builders import study_of

ENVS = ("CartPole-v1", "Acrobot-v1")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of two arms, two environments and three seeds that has not begun."""
    agents = tuple(make_agent("a2c", env_id, {}) for env_id in ENVS)
    return study_of(tmp_path, ENVS, "a2c", agents, (make_arm("0.99"), make_arm("cusum:max=0.99")), (0, 1, 2), 1000)


def train(study: Study, env_id: str, arm: int, seed: int, returns: Sequence[float], rest: str = "") -> Path:
    """Write the table of a run that has earned `returns` so far, with a window of 100; returns its folder."""
    folder = study.batch(env_id, study.arms[arm], study.seeds).run_folder(seed)
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("step", *tags.TAGS)
    rows = [{"step": 10 * (k + 1), "rollout/ep_rew_mean": value, "optim/window": 100.0} for k, value in enumerate(returns)]
    lines = [",".join(repr(row[name]) if name in row else "" for name in columns) for row in rows]
    (folder / METRICS).write_text("\n".join([",".join(columns), *lines, rest]))
    return folder


def shown(study: Study, run: str) -> dict[str, list[tuple[int, float]]]:
    """The scalars of an arm's run in TensorBoard."""
    read = EventAccumulator(str(study.folder / "_agg" / run)).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_a_study_in_training_shows_its_arms(study: Study) -> None:
    """Until its end `rl-rmsprop tensorboard` would show seventy single runs, and of the arms nothing."""
    for seed, height in enumerate((1.0, 2.0, 3.0)):
        train(study, "CartPole-v1", 0, seed, [height] * 4, rest="50,12")
    refresh(study, {})
    assert [path.name for path in (study.folder / "_agg").iterdir()] == ["β = 0.99"]
    curves = shown(study, "β = 0.99")
    assert {tag.split("/")[1] for tag in curves} == {"rollout_ep_rew_mean", "optim_window"}
    returns, window = curves["CartPole-v1/rollout_ep_rew_mean/iqm"], curves["CartPole-v1/optim_window/high"]
    assert (returns[0], returns[-1]) == (
        (10, 2.0),
        (40, 2.0),
    )  # of three runs none is dropped; the row in the making is not there
    assert {value for _, value in window} == {2.0}  # log₁₀ 100
    assert curves["CartPole-v1/rollout_ep_rew_mean/low"][0][1] < 2.0 < curves["CartPole-v1/rollout_ep_rew_mean/high"][0][1]


def test_only_arms_with_new_rows_are_written_again(study: Study) -> None:
    """A study of 240 runs would spend its time on curves that have not changed."""
    state: State = {}
    for arm in (0, 1):
        train(study, "CartPole-v1", arm, 0, [1.0, 2.0])
    refresh(study, state)
    before = [max((study.folder / "_agg" / run).iterdir()).name for run in ("β = 0.99", "cusum_max0.99")]
    train(study, "CartPole-v1", 1, 0, [1.0, 2.0, 3.0])
    refresh(study, state)
    after = [max((study.folder / "_agg" / run).iterdir()).name for run in ("β = 0.99", "cusum_max0.99")]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    assert shown(study, "cusum_max0.99")["CartPole-v1/rollout_ep_rew_mean/iqm"][-1] == (30, 3.0)


def test_runs_that_failed_or_are_far_behind_do_not_cut_the_curve(study: Study) -> None:
    """The common steps of all runs end where the slowest is: the curve of a second batch's first row would be a point."""
    train(study, "CartPole-v1", 0, 0, [1.0] * 10)
    train(study, "CartPole-v1", 0, 1, [5.0] * 2)
    (train(study, "CartPole-v1", 0, 2, [9.0] * 9) / ERROR).write_text("FloatingPointError")
    refresh(study, {})
    assert shown(study, "β = 0.99")["CartPole-v1/rollout_ep_rew_mean/iqm"][-1] == (100, 1.0)


def test_a_table_that_cannot_be_read_now_stops_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view must not cost the training: not for a table in the making, nor for a full disk."""
    (train(study, "CartPole-v1", 0, 0, [1.0] * 3) / METRICS).write_bytes(b"step,optim/window\n\xff\xfe\n")
    train(study, "CartPole-v1", 1, 0, [1.0] * 3)
    refresh(study, state := {})
    assert list(state) == ["cusum:max=0.99"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(aggregates, "replace_events", full)
    refresh(study, {})


def test_tensorboard_gives_the_arms_the_colours_of_the_report(study: Study) -> None:
    """An arm that is blue on the page and red in the viewer is taken for another one.

    TensorBoard colours runs in the order of their first events, from its palette (tensorboardColorBlindAssist in its source).
    """
    for arm in (1, 0):
        for env_id in ENVS:
            train(study, env_id, arm, 0, [1.0, 2.0])
    refresh(study, {})
    runs = {path.name: EventAccumulator(str(path)).Reload().FirstEventTimestamp() for path in (study.folder / "_agg").iterdir()}
    assert runs == {"β = 0.99": 1.0, "cusum_max0.99": 2.0}  # seconds after 1970: before every run that trains
    assert COLOURS[:6] == ("#ff7043", "#0077bb", "#cc3311", "#33bbee", "#ee3377", "#009988")
    layout = EventAccumulator(str(study.folder / "_agg" / "β = 0.99")).Reload().Tensors("custom_scalars__config__")[0]
    text = layout.tensor_proto.string_val[0].decode(errors="replace")
    assert text.index("CartPole-v1: arms") < text.index("Acrobot-v1: arms") < text.index("Runs")


class Remembers(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def started(self, folder: Path) -> None:
        self.received.append("started")

    def message(self, text: str) -> None:
        self.received.append(text)

    def begin(self, tasks: Sequence[Task]) -> None:
        self.received.append("begin")

    def event(self, event: Event) -> None:
        self.received.append("event")

    def end(self) -> None:
        self.received.append("end")


def test_arms_are_refreshed_now_and_then_while_another_observer_hears_everything(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refreshed at every event, a study of many runs would do little else."""
    now, refreshed = [100.0], []
    monkeypatch.setattr(aggregates.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(aggregates, "refresh", lambda study, state: refreshed.append(now[0]))
    view = LiveAggregates(study, other := Remembers(), every=10.0)
    view.started(study.folder)
    view.message("tuning")
    view.begin([])
    for _ in range(25):
        view.event(Event(0))
        now[0] += 1.0
    view.end()
    assert refreshed == [100.0, 110.0, 120.0]
    assert other.received == ["started", "tuning", "begin", *["event"] * 25, "end"]


def test_a_refresh_that_takes_long_comes_less_often(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of curves every ten seconds would halve the training."""
    now, refreshed = [100.0], []

    def slow(study: Study, state: State) -> None:
        refreshed.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(aggregates.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(aggregates, "refresh", slow)
    view = LiveAggregates(study, Observer(), every=10.0)
    for _ in range(150):
        view.event(Event(0))
        now[0] += 1.0
    assert refreshed == [100.0, 202.0]


def test_the_report_is_on_the_text_and_images_tabs(study: Study) -> None:
    """Whoever looks at curves must find the finding beside them, and how the study was made."""
    folder = study.folder / "report"
    folder.mkdir()
    save(new_figure(2, 1), folder / "CartPole-v1_returns.png")
    blocks = [
        Paragraph("0.99 wins", "finding"),
        Cautions(["few"]),
        Heading("x"),
        Code("rl-rmsprop compare"),
        Picture("CartPole-v1_returns", ""),
    ]
    tensorboard_report.write(study, blocks)
    read = EventAccumulator(str(folder)).Reload()
    texts = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in read.Tags()["tensors"]}
    assert texts == {
        "report/finding/text_summary": "**0.99 wins**",
        "report/cautions/text_summary": "> **Beware**\n>\n> - few",
        "report/command/text_summary": "`rl-rmsprop compare`",
    }
    (image,) = read.Images("CartPole-v1/returns")
    assert (image.width, image.height) == (220, 110)
    assert image.encoded_image_string == (folder / "CartPole-v1_returns.png").read_bytes()
    assert np.isclose(read.FirstEventTimestamp(), 3.0)  # behind the two arms
