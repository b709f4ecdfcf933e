"""How much an arm depends on its settings, from the draws of its tuning.

    score against lr             is the best lr a peak or a plateau?
    score against update size    are two arms the same rule at another step size?
    Φ                            mean over environments of (own best draw − the draw that is best on average), scores scaled to
                                 [0, 1] by the 5th and 95th percentile of all arms' draws there

Φ is the sensitivity of Adkins, Bowling and White (2024): what tuning for every environment anew gains over one setting for all
of them. A draw is "one setting" as one factor on the lr of each environment's preset and one value of every other key.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

from rl_rmsprop.study import figures, trials
from rl_rmsprop.study.spec import Study
from rl_rmsprop.study.statistics import iqm
from rl_rmsprop.study.tuning import FILE, by_setting, tunable


class Response(NamedTuple):
    """The draws of one arm in one environment, in the order of their lr; every array [K]."""

    env_id: str
    arm: str
    number: NDArray[np.int64]
    """Place of each draw among the draws."""
    lr: NDArray[np.float64]
    score: NDArray[np.float64]
    """IQM over tuning seeds of the area under the learning curve, NaN where a run has none."""
    update_rms: NDArray[np.float64]
    """Root mean square update over the training and the seeds."""


def responses(study: Study) -> list[Response]:
    """What tuning has seen of every arm in every environment, in the study's order; ValueError if it was not tuned."""
    path = study.folder / FILE
    if not path.is_file():
        raise ValueError(f"{study.folder} holds no tuning: compare with --tune 24 makes one")
    found: dict[tuple[str, str], list[tuple[int, float, float, float]]] = {}
    for (env_id, arm, number), runs in by_setting(trials.read(path)).items():
        score = float(iqm(np.array([run.area for run in runs])))
        size = math.sqrt(float(np.mean([run.update_rms**2 for run in runs])))
        found.setdefault((env_id, arm), []).append((number, runs[0].lr, score, size))
    result = []
    for env_id in study.env_ids:
        for arm in (arm.rule for arm in tunable(study) if (env_id, arm.rule) in found):
            rows = np.array(sorted(found[env_id, arm], key=lambda row: row[1]))
            result.append(Response(env_id, arm, rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2], rows[:, 3]))
    return result


def normalized(given: Sequence[Response]) -> list[Response]:
    """The same with the scores of each environment scaled by the 5th and 95th percentile over all arms' draws in it."""
    scaled = []
    for response in given:
        there = np.concatenate([other.score for other in given if other.env_id == response.env_id])
        low, high = np.nanquantile(there, (0.05, 0.95))
        scaled.append(response._replace(score=(response.score - low) / (high - low) if high > low else response.score * 0.0))
    return scaled


class Sensitivity(NamedTuple):
    """One arm over all environments, in normalised scores."""

    arm: str
    tuned_for_each: float
    """Mean over environments of the best draw's score there."""
    one_for_all: float
    """The largest mean over environments that one draw has."""

    @property
    def phi(self) -> float:
        """What tuning for each environment gains, ≥ 0."""
        return self.tuned_for_each - self.one_for_all


def sensitivities(given: Sequence[Response]) -> list[Sensitivity]:
    """Φ of every arm; draws that failed in an environment count as its worst."""
    scaled = normalized(given)
    found = []
    for arm in dict.fromkeys(response.arm for response in scaled):
        own = [response for response in scaled if response.arm == arm]
        numbers = sorted(set.intersection(*({*response.number.tolist()} for response in own)))
        table = np.array([by_number(response, numbers) for response in own])  # [environments, K]
        found.append(Sensitivity(arm, float(table.max(1).mean()), float(table.mean(0).max())))
    return found


def by_number(response: Response, numbers: Sequence[int]) -> NDArray[np.float64]:
    """The scores of these draws in this order; those without one get the lowest."""
    score = dict(zip(response.number.tolist(), response.score.tolist(), strict=True))
    row = np.array([score[number] for number in numbers])
    return np.where(np.isnan(row), np.nanmin(row) if not np.isnan(row).all() else 0.0, row)


def figure(given: Sequence[Response]) -> Figure:
    """Score of one environment's draws against lr, and against the size of the updates that they led to."""
    result, grid = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained", sharey=True)
    for i, response in enumerate(given):
        look = {"color": f"C{i % 10}", "marker": ".", "lw": 1.0, "ls": ("-", "--", ":")[i // 10 % 3], "alpha": 0.8}
        for axes, x in zip(grid, (response.lr, response.update_rms), strict=True):
            known = np.isfinite(response.score) & np.isfinite(x) & (x > 0)
            order = np.argsort(x[known], kind="stable")
            axes.plot(x[known][order], response.score[known][order], label=response.arm, **look)
    for axes, label in zip(grid, ("lr", "root mean square update over the training"), strict=True):
        axes.set(xscale="log", xlabel=label)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("area under the curve, IQM over tuning seeds")
    grid[0].legend(fontsize="small")
    result.suptitle(f"{given[0].env_id}: every draw of the tuning")
    return result


COLUMNS = ("arm", "tuned_for_each", "one_for_all", "phi")


def write_report(study: Study, console: Console) -> None:
    """Figures in the report's folder, an environment each; with several, sensitivity.csv."""
    found = responses(study)
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    for env_id in study.env_ids:
        own = [response for response in found if response.env_id == env_id]
        if own:
            figures.save(figure(own), folder / f"{env_id.replace('/', '-')}_sensitivity.png")
    console.print(f"score of every draw: {study.folder / FILE}, {folder}/*_sensitivity.png", soft_wrap=True)
    if len(study.env_ids) > 1:
        rows = sensitivities(found)
        with (folder / "sensitivity.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *((*row, row.phi) for row in rows)])
        for row in rows:
            console.print(
                f"{row.arm}: normalised score {row.tuned_for_each:.2f} tuned for each environment, "
                f"{row.one_for_all:.2f} with one setting for all; Φ = {row.phi:.2f}",
                soft_wrap=True,
            )
