"""The report as one HTML page: pictures inside, nothing from the network, for light and dark screens of any width."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from rl_rmsprop.study.report.document import Block, Code, Heading, Items, Paragraph, Picture, Table
from rl_rmsprop.study.report.plotting import look

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --blue: #0072b2; --orange: #c55a00; }
@media (prefers-color-scheme: dark) { :root { --blue: #56b4e9; --orange: #ffa14a; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; } h1, h2, h3, li, p { overflow-wrap: anywhere; }
.finding, .warning { padding: .6rem 1rem; border-left: 4px solid var(--blue); background: var(--soft); }
.finding { font-size: 1.1rem; } .warning { border-color: var(--orange); }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; } .word { text-align: left; } tbody tr:hover { background: var(--soft); }
td.word:first-child { max-width: 26rem; overflow: hidden; text-overflow: ellipsis; }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; opacity: .75; }
figure img { display: block; width: 100%; min-width: 38rem; }
.chip { width: 22px; height: 10px; margin-right: .5rem; vertical-align: middle; }
.chip [stroke="#000000"] { stroke: currentColor; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .6rem 1rem; background: var(--soft); font-size: .85rem; }
ul { padding-left: 1.3rem; }
"""

DARK_FIGURE = """<style>@media (prefers-color-scheme: dark) {
svg { fill: #ddd; } [style*="fill: #ffffff"] { fill: #161616 !important; } [style*="fill: #000000"] { fill: #ddd !important; }
[style*="stroke: #000000"] { stroke: #ddd !important; } [style*="stroke: #4c4c4c"] { stroke: #aaa !important; }
[style*="fill: #595959"] { fill: #bbb !important; } [style*="stroke: #b0b0b0"] { stroke: #777 !important; }
}</style>"""
"""Put into a figure, turns its paper dark and its ink light on dark screens; the arms keep their colours."""


def render(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """The whole page; `folder` holds the pictures."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join(written(block, folder) for block in blocks)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n'


def written(block: Block, folder: Path) -> str:
    """One block."""
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text, kind):
            return f'<p class="{kind}">{html.escape(text)}</p>'
        case Table():
            return table(block)
        case Picture(name, caption):
            image = f'<img alt="{html.escape(caption)}" src="data:image/svg+xml;base64,{embedded(folder / f"{name}.svg")}">'
            return f'<figure><div class="scroll">{image}</div><figcaption>{html.escape(caption)}</figcaption></figure>'
        case Items(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre>{html.escape(text)}</pre>"


def embedded(path: Path) -> str:
    """A figure for dark screens too, as base64."""
    head, defs, rest = path.read_text(encoding="utf-8").partition(" <defs>")  # the first one holds the style of all lines
    return base64.b64encode((head + DARK_FIGURE + defs + rest).encode()).decode()


def table(block: Table) -> str:
    """A table in a box of its own that scrolls; arms have their colour in front."""
    classes = [' class="word"' if i < block.words else "" for i in range(len(block.header))]
    head = "".join(f"<th{kind}>{html.escape(cell)}</th>" for kind, cell in zip(classes, block.header, strict=True))
    marks = block.marks or [None] * len(block.rows)
    rows = []
    for mark, row in zip(marks, block.rows, strict=True):
        cells = [html.escape(cell) for cell in row]
        if mark is not None:
            place = list(block.header).index("arm")
            cells[place] = chip(mark) + cells[place]
        rows.append("<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, cells, strict=True)) + "</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


DASHES = {"-": "", "--": "5 3", ":": "2 2", "-.": "6 2 2 2"}


def chip(place: int) -> str:
    """A stroke in the arm's colour and line style, as in the figures."""
    colour, style = look(place)
    line = f'<line x1="0" y1="5" x2="22" y2="5" stroke="{colour}" stroke-width="4" stroke-dasharray="{DASHES[style]}"/>'
    return f'<svg class="chip" viewBox="0 0 22 10" aria-hidden="true">{line}</svg>'
