"""Runs detectors and β rules over recorded signals, in seconds: `rl-rmsprop replay DIR [--twins DIR]`.

    signals.npz of all runs → scores of detectors (hits and delays at one rate of alarms on unshifted twins)
                            → scores of β rules (forecasts beside the best fixed β in hindsight)
                            → content (a sentence an arm, tables) → terminal, report/replay.html, replay.md, replay_*.csv

The twins are the same study without `--shift`: same seeds, same settings, equal in every bit until the first change. Without
them the updates before the first change are used.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as TerminalTable

from rl_rmsprop import rules
from rl_rmsprop.storage.atomic import write_csv
from rl_rmsprop.study.replay import content
from rl_rmsprop.study.replay.scores import CANDIDATES, RULES, DetectorScore, RuleScore, Scores, alarms_of, parse_candidate, score
from rl_rmsprop.study.report import curve_figures, document, markdown, page, plotting
from rl_rmsprop.study.results.recorded_signals import load_recordings
from rl_rmsprop.study.spec.study import Study


def replay(
    study: Study,
    twins: Study | None,
    detectors: Sequence[str],
    betas: Sequence[str],
    signal: str,
    rate: float,
    console: Console,
) -> None:
    """Replay everything, print the findings, and write them to the study's report/ as a page, tables and figures."""
    candidates = [parse_candidate(text) for text in detectors or CANDIDATES]
    parsed = [rules.parse(text) for text in betas or RULES]
    for rule in parsed:
        rules.check(rule)
    twin_of = {(s.env_id, s.arm): s for s in load_recordings(twins)} if twins is not None else {}
    all_scores = [
        score(recording, twin_of.get((recording.env_id, recording.arm)), candidates, parsed, signal, rate)
        for recording in load_recordings(study)
    ]
    labels = {arm.text: arm.label for arm in study.arms}
    print_scores(all_scores, labels, console)
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    write_tables(all_scores, folder)
    draw_figures(all_scores, folder)
    blocks = content.content(all_scores, labels, command(study, twins, detectors, betas, signal, rate))
    title = f"Replay of recorded signals: {', '.join(study.env_ids)}"
    (folder / "replay.md").write_text(markdown.render(title, blocks), encoding="utf-8")
    (folder / "replay.html").write_text(page.render(title, blocks, folder), encoding="utf-8")
    console.print(f"page: {folder}/replay.html", soft_wrap=True)


def command(study: Study, twins: Study | None, detectors: Sequence[str], betas: Sequence[str], signal: str, rate: float) -> str:
    """The command that makes the same replay."""
    words = ["rl-rmsprop", "replay", str(study.folder), *(["--twins", str(twins.folder)] if twins is not None else [])]
    words += [*(["--detectors", *detectors] if detectors else []), *(["--betas", *betas] if betas else [])]
    return shlex.join([*words, "--signal", signal, "--rate", f"{rate:g}"])


MOST_WIDTH = 20
"""Characters of a column that are not broken in the terminal."""

# The terminal ---------------------------------------------------------------------------------------------------------


def print_scores(all_scores: Sequence[Scores], labels: content.Labels, console: Console) -> None:
    """The finding in a sentence an arm, the tables in two groups, and what their columns mean."""
    for scores in all_scores:
        console.print(content.finding(scores, labels), soft_wrap=True)
    for caution in content.cautions(all_scores, labels):
        console.print(f"Beware: {caution}", soft_wrap=True)
    console.print(f"\nDetectors. {content.how_compared(all_scores[0])}\n", soft_wrap=True)
    for scores in (scores for scores in all_scores if scores.detectors):
        console.print(terminal_table(content.place(scores, labels), content.detector_table(scores)))
    console.print(f"\nβ rules. {content.FORECAST}\n", soft_wrap=True)
    for scores in all_scores:
        console.print(terminal_table(content.place(scores, labels), content.rule_table(scores)))
    console.print("")
    for explanation in content.columns(all_scores):
        console.print(f"- {explanation}", soft_wrap=True)


def terminal_table(title: str, block: document.Table) -> TerminalTable:
    """A table for the terminal."""
    table = TerminalTable(title=title, title_justify="left")
    for place, name in enumerate(block.header):
        if place < block.words:
            widest = max(len(row[place]) for row in block.rows)
            table.add_column(name, overflow="fold", min_width=min(widest, MOST_WIDTH))
        else:
            table.add_column(name, justify="right")
    for row in block.rows:
        table.add_row(*row)
    return table


# Files ----------------------------------------------------------------------------------------------------------------

DETECTOR_COLUMNS = (
    "env", "arm", "detector", "signal", "alarms_per_1000_on_twins", "share_at_scale_changes", "changes", "hits_20", "hits_50",
    "hits_200", "delay_median", "delay_q90",
)  # fmt: skip


def write_tables(all_scores: Sequence[Scores], folder: Path) -> None:
    """A row a detector, and a row a rule."""
    write_csv(
        folder / "replay_detectors.csv", DETECTOR_COLUMNS, [cells(row) for scores in all_scores for row in scores.detectors]
    )
    write_csv(folder / "replay_rules.csv", RuleScore._fields, [list(row) for scores in all_scores for row in scores.rules])


def cells(row: DetectorScore) -> list[Any]:
    """A row of replay_detectors.csv."""
    quality = row.quality
    return [*row[:6], quality.changes, *quality.hits, quality.delay_median, quality.delay_q90]


def draw_figures(all_scores: Sequence[Scores], folder: Path) -> None:
    """The signal of every arm with the alarms of its best detector, as PNG for Markdown and SVG for the page."""
    for scores in all_scores:
        best = scores.detectors[0] if scores.detectors else None
        if best is not None and best.tuned is not None:
            alarms = alarms_of(best.tuned, scores.recording, best.signal)
            figure = curve_figures.signal_curves(scores.recording, best.signal, best.detector, alarms)
            for ending in ("png", "svg"):
                plotting.save(figure, folder / f"{content.figure_name(scores)}.{ending}")
