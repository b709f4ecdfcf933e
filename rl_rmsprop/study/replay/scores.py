"""How detectors and β rules do on the recorded signals of one arm in one environment.

Detectors are compared at one rate of alarms where nothing changed: on the twin, the same study without `--shift`, which is
equal in every bit until the first change, or without one on the updates before that change.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop import detectors, forecast, rules
from rl_rmsprop.detectors import DETECTORS, Detector
from rl_rmsprop.study.results import detection
from rl_rmsprop.study.results.recorded_signals import RecordedSignals

CANDIDATES = tuple(name for name, kind in DETECTORS.items() if kind.listens)
RULES = ("0.9", "0.99", "0.999", "harmonic:max=0.999", "cusum:arl=50000,max=0.99", "asymmetric:rise=0.9,fall=0.999", "mixture")
RETURN = "episode_return"
TOO_LOUD = 1.5
"""Alarms, in units of the wanted rate, above which a detector is not compared with the others."""


class Candidate(NamedTuple):
    """A detector by the text that the user wrote."""

    text: str
    detector: Detector


class DetectorScore(NamedTuple):
    """One detector on one arm's signals."""

    env_id: str
    arm: str
    detector: str
    signal: str
    unshifted_rate: float
    """Alarms per 1000 updates where nothing changed."""
    share_at_scale_changes: float
    """Share of those near a change of the gradient's scale; NaN if such changes were not looked for."""
    quality: detection.Quality
    tuned: Detector | None
    """The detector with the sensitivity of that rate; None for alarms at regular times."""


class RuleScore(NamedTuple):
    """One β rule on one arm's signals."""

    env_id: str
    arm: str
    rule: str
    above_best: float
    """Mean over runs of the forecast score above that of the run's best fixed β in hindsight; below 0 is better than it."""
    share_better: float
    """Share of runs in which the rule is better than it."""


class Scores(NamedTuple):
    """Everything of one arm in one environment."""

    recording: RecordedSignals
    signal: str
    wanted: float
    """Alarms per 1000 updates of unshifted signals that the detectors were tuned to."""
    has_twin: bool
    """Whether nothing changed in a study of its own, not just before the first change."""
    unshifted_updates: int
    """Updates of all runs in which nothing had changed."""
    detectors: list[DetectorScore]
    """Best first, then alarms at regular times; empty if the signal was not recorded."""
    rules: list[RuleScore]
    """Best first."""


def parse_candidate(text: str) -> Candidate:
    """The detector of a text, river's included; ValueError for one that listens to nothing."""
    detector = detectors.parse(text)
    if not detector.listens:
        raise ValueError(f"a detector that listens to a signal is needed, got {text!r}: such as cusum or ewma")
    return Candidate(text, detector)


def score(
    recording: RecordedSignals,
    twin: RecordedSignals | None,
    candidates: Sequence[Candidate],
    betas: Sequence[rules.Rule],
    signal: str,
    wanted: float,
) -> Scores:
    """All detectors at `wanted` alarms per 1000 updates where nothing changed, and all β rules."""
    unshifted = twin or before_change(recording)
    recorded = recording.has(signal) and unshifted.has(signal)
    scored = detector_scores(recording, unshifted, candidates, signal, wanted) if recorded else []
    return Scores(recording, signal, wanted, twin is not None, unshifted.shifted.size, scored, rule_scores(recording, betas))


# Detectors ------------------------------------------------------------------------------------------------------------


def detector_scores(
    recording: RecordedSignals, unshifted: RecordedSignals, candidates: Sequence[Candidate], signal: str, wanted: float
) -> list[DetectorScore]:
    """All candidates on the signal, the first on the episode return too, and alarms at regular times."""
    scale = scale_changes_of(unshifted)
    pairs = [(candidate, signal) for candidate in candidates]
    if signal != RETURN and recording.has(RETURN) and unshifted.has(RETURN):
        pairs.append((candidates[0], RETURN))
    scored = [detector_score(recording, unshifted, candidate, name, wanted, scale) for candidate, name in pairs]
    return [*sorted(scored, key=partial(rank, wanted)), regular_alarms(recording, 1000 / wanted)]


def rank(wanted: float, score: DetectorScore) -> tuple[float, float, float]:
    """Order of detectors: the too loud last, then by hits within 50 updates, then by delay; smaller is better."""
    hits, delay = score.quality.hits[1], score.quality.delay_median
    loud = float(score.unshifted_rate > TOO_LOUD * wanted)
    return loud, 0.0 if math.isnan(hits) else -hits, math.inf if math.isnan(delay) else delay


def detector_score(
    recording: RecordedSignals,
    unshifted: RecordedSignals,
    candidate: Candidate,
    signal: str,
    wanted: float,
    scale: NDArray[np.bool_] | None,
) -> DetectorScore:
    """One detector, made as sensitive as the wanted rate of alarms on the unshifted signals allows."""
    detector = detection.tune(candidate.detector, wanted, unshifted.signal(signal), unshifted.seeds).detector
    alarms = alarms_of(detector, unshifted, signal)
    share = math.nan if scale is None else detection.share_near(alarms, scale)
    quality = detection.quality(alarms_of(detector, recording, signal), recording.shifted)
    return DetectorScore(
        recording.env_id, recording.arm, candidate.text, signal, detection.rate(alarms), share, quality, detector
    )


def alarms_of(detector: Detector, recording: RecordedSignals, signal: str) -> detection.Alarms:
    """When the detector alarms on a signal of the recording."""
    return detection.alarms_of(detector, recording.signal(signal), recording.seeds)


def before_change(recording: RecordedSignals) -> RecordedSignals:
    """The recording up to the first change of any run; all of it if nothing changes. ValueError if nothing is left."""
    first = int(np.flatnonzero(recording.shifted.any(1))[0]) if recording.is_shifted else len(recording.shifted)
    if not first:
        raise ValueError(
            f"{recording.env_id} changes at the first update, so no alarm there is false: name the unshifted study with --twins"
        )
    return replace(recording, arrays={name: array[:first] for name, array in recording.arrays.items()})


def scale_changes_of(recording: RecordedSignals) -> NDArray[np.bool_] | None:
    """Changes of the gradient's scale, located afterwards [T, R]; None without the package that locates them."""
    if importlib.util.find_spec("ruptures") is None or len(recording.shifted) < 4 * detection.NEAR:
        return None
    return detection.scale_changes(recording.signal("grad_norm").numpy())


def regular_alarms(recording: RecordedSignals, every: float) -> DetectorScore:
    """What an alarm every k updates reaches without looking, over all phases: delays are uniform on [0, k)."""
    changes = int(recording.shifted.sum())
    hits = tuple(min(1.0, within / every) if changes else math.nan for within in detection.WITHIN)
    delays = (0.5 * every, 0.9 * every) if changes else (math.nan, math.nan)
    quality = detection.Quality(changes, hits, *delays)
    return DetectorScore(
        recording.env_id, recording.arm, f"every {every:.0f} updates", "nothing", 1000 / every, math.nan, quality, None
    )


# Rules ----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def rule_scores(recording: RecordedSignals, betas: Sequence[rules.Rule]) -> list[RuleScore]:
    """The forecast score of every rule above the best fixed β of each run in hindsight."""
    burn_in = min(100, len(recording.squares) // 4)
    best = forecast.best_fixed(recording.squares, burn_in=burn_in).score
    scores = []
    for rule in betas:
        name = rule.listens_to if isinstance(rule, rules.Adaptive) else None
        x = None if name in (None, "surprise") else recorded_signal(recording, str(name))
        score = forecast.replay(recording.squares, rule, x=x, burn_in=burn_in, keys=recording.seeds).score.nanmean(0)  # [R]
        above = score - best
        share_better = float((above < 0).double().mean())
        scores.append(RuleScore(recording.env_id, recording.arm, rules.text(rule), float(above.mean()), share_better))
    return sorted(scores, key=lambda score: score.above_best)


def recorded_signal(recording: RecordedSignals, name: str) -> Tensor:
    """A rule's signal as recorded; the true changes for an oracle."""
    return torch.from_numpy(recording.shifted.astype(float)) if name == "shifted" else recording.signal(name)
