"""From the files of a study to its report: table, finding, figures, and the aggregate curves for TensorBoard.

Everything here reads `runs/` alone, so a report can be made again at any time without training.
"""

from __future__ import annotations

import base64
import csv
import html
import math
import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from rl_rmsprop import telemetry
from rl_rmsprop.study import figures
from rl_rmsprop.study.disclosure import settings_of_the_arms
from rl_rmsprop.study.results import ArmResults, load_results, provenance
from rl_rmsprop.study.spec import Study
from rl_rmsprop.study.statistics import Interval, bootstrap, number
from rl_rmsprop.telemetry import EventFile

COLUMNS = (
    "env", "arm", "runs", "failed", "score_iqm", "score_low", "score_high", "area_iqm", "area_low", "area_high", "alarms_per_run",
)  # fmt: skip


def write_report(study: Study) -> list[ArmResults]:
    """Write `report/` and the aggregate event files of a study; returns the results. ValueError if no run has finished."""
    results = load_results(study)
    if not any(result.runs for result in results):
        raise ValueError(f"{study.folder} has no finished run: rl-rmsprop compare or train fills it")
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    pictures = []
    for env_id, group in by_environment(results):
        for name, draw in (
            ("returns", figures.learning_curves),
            ("optimizer", figures.optimizer_curves),
            ("scores", figures.scores),
        ):
            path = folder / f"{env_id.replace('/', '-')}_{name}.png"
            figures.save(draw(group), path)
            pictures.append(path)
    with (folder / "results.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(row(result) for result in results)])
    text = markdown(study, results, pictures)
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(page(study, results, pictures), encoding="utf-8")
    if len(study.seeds) > 1:
        write_aggregates(study, results)
    return results


def by_environment(results: Sequence[ArmResults]) -> list[tuple[str, list[ArmResults]]]:
    """Results with at least one run, grouped by environment."""
    shown = [result for result in results if result.runs]
    return [(env_id, list(group)) for env_id, group in groupby(shown, key=lambda result: result.env_id)]


SHIFTED_NOTE = (
    "returns are what the changed environment pays, the final evaluation is in the environment as it is at the end, and vertical "
    "lines in the figures mark the changes of the first seed."
)


def row(result: ArmResults) -> list[str | int | float]:
    """One line of results.csv; empty where there is nothing to say."""
    if not result.runs:
        return [result.env_id, result.arm.rule, 0, len(result.failed), *[""] * 7]
    alarms: float | str = "" if math.isnan(result.alarms) else result.alarms
    numbers = ["" if math.isnan(x) else float(x) for interval in (result.score, result.area) for x in interval]
    return [result.env_id, result.arm.rule, len(result.runs), len(result.failed), *numbers, alarms]


# The finding ---------------------------------------------------------------------------------------------------------------


def findings(results: Sequence[ArmResults]) -> list[str]:
    """One sentence an environment: which arm earned most over training, and whether that is more than chance."""
    return [finding(env_id, group) for env_id, group in by_environment(results)]


def finding(env_id: str, group: Sequence[ArmResults]) -> str:
    """The arm with the largest area against the best fixed β, or against the runner-up if it is one itself."""
    ranked = sorted((r for r in group if not math.isnan(r.area.value)), key=lambda result: -result.area.value)
    if not ranked:
        return f"{env_id}: too few episodes ended during training to say what was earned: give more --steps."
    best = ranked[0]
    if len(group) == 1:
        return f"{env_id}: {best.arm.rule} earned {number(best.area)} per episode over training, {number(best.score)} at the end."
    said = f"{env_id}: {best.arm.rule} earned most over training, {number(best.area)} per episode"
    rivals = [r for r in ranked[1:] if is_fixed(r)] if not is_fixed(best) else ranked[1:]
    if not rivals:
        return said + "."
    rival = rivals[0]
    difference = paired_difference(best, rival)
    who = f"the best fixed β, {rival.arm.rule}," if not is_fixed(best) else f"the next, {rival.arm.rule},"
    if difference is None:
        return said + f"; {who} has {number(rival.area)}, but too few seeds in common to compare."
    clear = difference.low > 0 or difference.high < 0
    verdict = "a difference that chance hardly explains" if clear else "which these seeds cannot tell from zero"
    return said + f"; seed by seed its lead over {who} is {number(difference, sign=True)}, {verdict}."


def is_fixed(result: ArmResults) -> bool:
    """Whether the arm is a β that never changes."""
    return result.arm.is_fixed


FEWEST_PAIRS = 6


def paired_difference(a: ArmResults, b: ArmResults) -> Interval | None:
    """IQM of the difference in area of runs with the same seed, or None with fewer than six such seeds.

    The interval excludes 0 if all differences have one sign, which among n seeds chance alone brings about in 2^(1 − n) of
    cases: in more than 5 % of them for n < 6.
    """
    areas = {run.seed: run.area for run in b.runs}
    pairs = np.array([run.area - areas[run.seed] for run in a.runs if run.seed in areas])
    return bootstrap(pairs, np.random.default_rng(0)) if len(pairs) >= FEWEST_PAIRS else None


# Text ----------------------------------------------------------------------------------------------------------------------

HEADER = ("arm", "runs", "failed", "final evaluation", "area under the curve", "alarms per run")


def table(group: Sequence[ArmResults]) -> list[tuple[str, ...]]:
    """Rows of the table of arms, as text."""
    rows: list[tuple[str, ...]] = []
    for result in group:
        numbers = ("–", "–", "–")
        if result.runs:
            alarms = "–" if math.isnan(result.alarms) else f"{result.alarms:.1f}"
            numbers = (number(result.score), number(result.area), alarms)
        rows.append((result.arm.rule, str(len(result.runs)), str(len(result.failed)), *numbers))
    return rows


def notes(study: Study) -> list[str]:
    """What a reader has to know about the numbers."""
    many = len(study.arms) > 2
    chosen = ["The arm in the finding was chosen for its lead, which is therefore overstated: confirm it on other seeds."]
    few = [f"Fewer than 10 seeds ({len(study.seeds)}): intervals are rough."] if len(study.seeds) < 10 else []
    corrected = "with" if study.arms[0].bias_correction else "without"
    return [
        "Final evaluation: mean return of "
        f"{study.eval_episodes} episodes of the greedy policy; area: mean training return over the {study.steps} environment "
        "steps. Both are interquartile means over seeds with 95 % percentile bootstrap intervals.",
        f"β rules run {corrected} bias correction, ε = {study.arms[0].eps} outside the root.",
        *settings_of_the_arms(study),
        *(["The environment changes: " + " and ".join(study.shifts) + f"; {SHIFTED_NOTE}"] if study.shifts else []),
        *(chosen if many else []),
        *few,
    ]


def markdown(study: Study, results: Sequence[ArmResults], pictures: Sequence[Path]) -> str:
    """The report as Markdown."""
    lines = ["# Comparison of β rules", "", *findings(results), ""]
    for env_id, group in groupby(results, key=lambda result: result.env_id):
        lines += [f"## {env_id}", "", "| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
        lines += ["| " + " | ".join(cells) + " |" for cells in table(list(group))]
        own = [p for p in pictures if p.name.startswith(f"{env_id.replace('/', '-')}_")]
        lines += ["", *(f"![{p.stem}]({p.name})" for p in own), ""]
    lines += ["## How it was made", "", *(f"- {note}" for note in notes(study)), f"- `{study.command}`"]
    lines += [f"- {line}" for line in provenance(study)]
    return "\n".join(lines) + "\n"


STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; min-width: 40rem; background: white; border-radius: 4px; }
.finding { font-size: 1.15rem; border-left: 4px solid #1f77b4; padding-left: 1rem; }
code { font-size: .9em; } li, .finding { overflow-wrap: anywhere; } ul { padding-left: 1.5rem; }
"""


def page(study: Study, results: Sequence[ArmResults], pictures: Sequence[Path]) -> str:
    """The report as one HTML page with its pictures inside."""
    body = [f'<p class="finding">{html.escape(sentence)}</p>' for sentence in findings(results)]
    for env_id, group in groupby(results, key=lambda result: result.env_id):
        cells = ["<tr>" + "".join(f"<th>{c}</th>" for c in HEADER) + "</tr>"]
        cells += ["<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>" for line in table(list(group))]
        body += [f"<h2>{html.escape(env_id)}</h2>", '<div class="scroll"><table>', *cells, "</table></div>"]
        for p in pictures:
            if p.name.startswith(f"{env_id.replace('/', '-')}_"):
                data = base64.b64encode(p.read_bytes()).decode()
                body.append(f'<p class="scroll"><img alt="{html.escape(p.stem)}" src="data:image/png;base64,{data}"></p>')
    made = [html.escape(note) for note in notes(study)] + [f"<code>{html.escape(study.command)}</code>"]
    made += [html.escape(line) for line in provenance(study)]
    body += ["<h2>How it was made</h2><ul>", *(f"<li>{line}</li>" for line in made), "</ul>"]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>Comparison of β rules</title><style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body><h1>Comparison of β rules</h1>{''.join(body)}</body></html>\n"
    )


# TensorBoard ---------------------------------------------------------------------------------------------------------------


def write_aggregates(study: Study, results: Sequence[ArmResults]) -> None:
    """For every arm an event file with the IQM over seeds of each charted tag and the ends of its interval."""
    for result in results:
        folder = study.folder / result.env_id.replace("/", "-") / "_agg" / result.arm.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        events = EventFile(folder)
        events.add(0, telemetry.layout(aggregates=True, shifting=bool(study.shifts)))
        for tag in telemetry.CHARTS.values():
            curve = result.curve(tag) if tag in telemetry.TAGS else None
            if curve is None:
                continue
            shown = [np.log10(x) for x in curve[1]] if tag in telemetry.LOGARITHMIC else curve[1]
            for step, *values in zip(curve[0].astype(int).tolist(), *(x.tolist() for x in shown), strict=True):
                names = [telemetry.aggregate_tag(tag, part) for part in ("iqm", "low", "high")]
                events.add(step, telemetry.scalars(dict(zip(names, values, strict=True))))
        events.close()
