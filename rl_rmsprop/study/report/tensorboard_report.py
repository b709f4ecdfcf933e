"""The report in TensorBoard: a run `report` with findings, cautions and command on the Text tab, figures on the Images tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary

from rl_rmsprop.study.report.document import Block, Cautions, Code, Paragraph, Picture
from rl_rmsprop.study.report.markdown import render_block
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.telemetry import tensorboard
from rl_rmsprop.telemetry.event_file import replace_events


def write(study: Study, blocks: Sequence[Block]) -> None:
    """The event file in the report's folder, whose figures are there already."""
    replace_events(study.folder / "report", ((0, summary) for summary in summaries(study, blocks)), rank=len(study.arms) + 1)


def summaries(study: Study, blocks: Sequence[Block]) -> Iterator[Summary]:
    """Texts and figures of the report."""
    findings = [render_block(block) for block in blocks if isinstance(block, Paragraph) and block.kind == "finding"]
    yield tensorboard.text("report/finding", "\n\n".join(findings))
    for block in blocks:
        match block:
            case Cautions():
                yield tensorboard.text("report/cautions", render_block(block))
            case Code(text):
                yield tensorboard.text("report/command", f"`{text}`")
            case Picture(name):
                tag = "/".join(name.rsplit("_", 1))  # TensorBoard shows together what has the same words before the slash
                yield tensorboard.image(tag, (study.folder / "report" / f"{name}.png").read_bytes())
