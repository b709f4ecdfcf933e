"""Runs detectors and β rules over recorded signals, in seconds: `rl-rmsprop replay DIR [--twins DIR]`.

    signals.npz of all runs → detectors: alarms, hits and delays, all at the same rate of alarms on unshifted twins
                            → β rules: forecast score beside the best fixed β in hindsight
                            → figures: signal with true changes, alarms and E

The twins are the same study without `--shift`: same seeds, same settings, equal in every bit until the first change. Without
them the updates before each run's first change stand in.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from rl_rmsprop import detectors, forecast, rules
from rl_rmsprop.detectors import Detector
from rl_rmsprop.storage.atomic import env_folder, write_csv
from rl_rmsprop.study.report import curve_figures, plotting
from rl_rmsprop.study.results import detection
from rl_rmsprop.study.results.recorded_signals import Streams, load_streams
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study

DETECTORS = ("cusum", "page_hinkley", "ewma", "e_sr", "tracking_signal")
RULES = ("0.9", "0.99", "0.999", "harmonic:max=0.999", "cusum:arl=50000,max=0.99", "asymmetric:rise=0.9,fall=0.999", "mixture")
RETURN = "episode_return"
KNOBS: dict[str, tuple[float, float, Callable[[Any, float], Any]]] = {
    "arl": (5.0, 1e9, lambda detector, knob: replace(detector, arl=knob)),
    "limit": (1e-2, 1e6, lambda detector, knob: replace(detector, limit=knob)),
    "delta": (1.0, 1e15, lambda detector, knob: replace(detector, delta=min(1 / knob, 0.9999))),
    "alpha": (1.0, 1e15, lambda detector, knob: replace(detector, alpha=min(1 / knob, 0.9999))),
}
"""Field that sets a detector's sensitivity (the first that it has) → loud end, quiet end, how to set it."""


class Row(NamedTuple):
    """One detector on one arm's streams."""

    env_id: str
    arm: str
    detector: str
    listens_to: str
    twin_rate: float
    """Alarms per 1000 updates where nothing changed."""
    explained: float
    """Share of those that coincide with a change of the gradient's scale found afterwards; NaN if that was not looked for."""
    answer: detection.Quality
    used: Detector | None
    """The detector with the sensitivity that was found."""


class Score(NamedTuple):
    """One β rule on one arm's streams."""

    env_id: str
    arm: str
    rule: str
    above_best: float
    """Mean over runs of the forecast score above that of the run's best fixed β in hindsight; below 0 is better than it."""
    share_better: float
    """Share of runs in which the rule is better than it."""


def replay(
    study: Study,
    twins: Study | None,
    texts: Sequence[str],
    betas: Sequence[str],
    signal: str,
    wanted: float,
    console: Console,
) -> None:
    """Replay everything, print the tables, and write them and the figures to the study's report/."""
    asked = [known_detector(text) for text in texts or DETECTORS]
    parsed = [rules.parse(text) for text in betas or RULES]
    streams = load_streams(study)
    quiet = {(s.env_id, s.arm): s for s in load_streams(twins)} if twins is not None else {}
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    found = [row for s in streams for row in detector_rows(s, quiet.get((s.env_id, s.arm)), asked, signal, wanted)]
    scores = [row for s in streams for row in rule_rows(s, parsed)]
    console.print(detector_table(found, wanted))
    console.print(rule_table(scores))
    write_csv(folder / "replay_detectors.csv", ("env", "arm", *DETECTOR_COLUMNS), [flat(row) for row in found])
    write_csv(folder / "replay_rules.csv", Score._fields, [list(row) for row in scores])
    for s in streams:
        first = found[[(row.env_id, row.arm) for row in found].index((s.env_id, s.arm))]
        path = folder / f"{env_folder(s.env_id)}_replay_{Arm(s.arm).name}.png"
        plotting.save(
            curve_figures.signal_curves(s, signal, first.detector, alarms(first.used or asked[0].detector, s, signal)), path
        )
    console.print(f"tables and figures: {folder}/replay_*.csv, *_replay_*.png", soft_wrap=True)


# Detectors --------------------------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A detector that was asked for."""

    text: str
    detector: Detector


def known_detector(text: str) -> Asked:
    """The detector of a text, river's included; ValueError for one that listens to nothing."""
    detector = detectors.parse(text)
    if not detector.listens:
        raise ValueError(f"a detector that listens to a signal is needed, got {text!r}: such as cusum or ewma")
    return Asked(text, detector)


def alarms(detector: Detector, streams: Streams, signal: str) -> detection.Alarms:
    """When the detector alarms on the streams' signal."""
    return detection.alarms_of(detector, streams.signal(signal), streams.seeds)


def detector_rows(streams: Streams, twins: Streams | None, asked: Sequence[Asked], signal: str, wanted: float) -> list[Row]:
    """All detectors at `wanted` alarms per 1000 updates on the twins, the first on the episode return too, and a dummy."""
    calm = twins or before_change(streams)
    scale = scale_changes_of(calm)
    listens = [(one, signal) for one in asked] + [(asked[0], RETURN)]
    rows = [row_of(streams, calm, one, heard, wanted, scale) for one, heard in listens]
    return [*rows, dummy(streams, 1000 / wanted)]


def row_of(streams: Streams, calm: Streams, asked: Asked, signal: str, wanted: float, scale: NDArray[np.bool_] | None) -> Row:
    """One detector, made as sensitive as the wanted rate of alarms on the calm streams allows."""
    detector = at_rate(asked.detector, wanted, calm.signal(signal), calm.seeds)
    on_calm = alarms(detector, calm, signal)
    share = math.nan if scale is None else detection.explained(on_calm, scale)
    answer = detection.quality(alarms(detector, streams, signal), streams.shifted)
    return Row(streams.env_id, streams.arm, asked.text, signal, detection.rate(on_calm), share, answer, detector)


def at_rate(detector: Detector, wanted: float, x: Tensor, seeds: tuple[int, ...]) -> Detector:
    """The detector with its sensitivity set so that it alarms `wanted` times per 1000 updates on x [T, R]."""
    knob = next(name for name in KNOBS if name in {f.name for f in fields(detector)})  # type: ignore[arg-type]
    low, high, turned = KNOBS[knob]
    return detection.matched(lambda value: turned(detector, value), wanted, x, seeds, (low, high)).detector


def before_change(streams: Streams) -> Streams:
    """The streams up to the first change of any run; all of them if nothing changes."""
    first = int(np.flatnonzero(streams.shifted.any(1))[0]) if streams.is_shifted else len(streams.shifted)
    return replace(streams, arrays={name: array[:first] for name, array in streams.arrays.items()})


def scale_changes_of(streams: Streams) -> NDArray[np.bool_] | None:
    """Changes of the gradient's scale found afterwards [T, R], None without the package that finds them."""
    if importlib.util.find_spec("ruptures") is None or len(streams.shifted) < 4 * detection.NEAR:
        return None
    return detection.scale_changes(streams.signal("grad_norm").numpy())


def dummy(streams: Streams, every: float) -> Row:
    """What an alarm every k updates reaches without looking, over all phases: delays are uniform on [0, k)."""
    hits = tuple(min(1.0, within / every) for within in detection.WITHIN)
    changes = int(streams.shifted.sum())
    answer = detection.Quality(changes, hits, 0.5 * every, 0.9 * every)
    return Row(streams.env_id, streams.arm, f"every {every:.0f} updates", "nothing", 1000 / every, math.nan, answer, None)


# Rules ------------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def rule_rows(streams: Streams, parsed: Sequence[rules.Rule]) -> list[Score]:
    """The forecast score of every rule above the best fixed β of each run in hindsight."""
    burn_in = min(100, len(streams.squares) // 4)
    best = forecast.best_fixed(streams.squares, burn_in=burn_in).score
    rows = []
    for rule in parsed:
        heard = rule.listens_to if isinstance(rule, rules.Adaptive) else None
        x = None if heard in (None, "surprise") else heard_signal(streams, heard)
        score = forecast.replay(streams.squares, rule, x=x, burn_in=burn_in, keys=streams.seeds).score.nanmean(0)  # [R]
        above = score - best
        rows.append(Score(streams.env_id, streams.arm, rules.text(rule), float(above.mean()), float((above < 0).double().mean())))
    return rows


def heard_signal(streams: Streams, name: str) -> Tensor:
    """A rule's signal as recorded; the true changes for an oracle."""
    return torch.from_numpy(streams.shifted.astype(float)) if name == "shift" else streams.signal(name)


# Tables -----------------------------------------------------------------------------------------------------------------------

DETECTOR_COLUMNS = (
    "detector", "signal", "alarms_per_1000_on_twins", "share_at_scale_changes", "changes", "hits_20", "hits_50", "hits_200",
    "delay_median", "delay_q90",
)  # fmt: skip


def flat(row: Row) -> list[Any]:
    """A row of replay_detectors.csv."""
    answer = row.answer
    return [*row[:6], answer.changes, *answer.hits, answer.delay_median, answer.delay_q90]


def detector_table(rows: Sequence[Row], wanted: float) -> Table:
    """Detectors for the terminal."""
    table = Table(
        title=f"Detectors, made as sensitive as {wanted:g} alarms per 1000 updates without a change", title_justify="left"
    )
    for name in ("env", "trained with", "detector", "listens to", "alarms/1000", "at scale changes"):
        table.add_column(name, overflow="fold")
    for name in ("hits 20", "50", "200", "delay", "90 %"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [f"{hit:.0%}" if hit == hit else "–" for hit in row.answer.hits]
        delays = [f"{d:.0f}" if math.isfinite(d) else "–" for d in (row.answer.delay_median, row.answer.delay_q90)]
        share = f"{row.explained:.0%}" if row.explained == row.explained else "–"
        table.add_row(row.env_id, row.arm, row.detector, row.listens_to, f"{row.twin_rate:.2f}", share, *numbers, *delays)
    return table


def rule_table(rows: Sequence[Score]) -> Table:
    """β rules for the terminal."""
    table = Table(title="Forecast of g²: score above the best fixed β in hindsight (below 0 is better)", title_justify="left")
    for name in ("env", "trained with", "rule", "above best fixed", "better in"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row.env_id, row.arm, row.rule, f"{row.above_best:+.3f}", f"{row.share_better:.0%} of runs")
    return table
