"""The report as one HTML page: pictures inside, nothing from the network, for light and dark screens of any width.

On a screen as narrow as a phone's, a table becomes a card a row, and a figure is the one in the folder `narrow`, if there is one.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from rl_rmsprop.study.report.document import Block, Cautions, Code, Contents, Heading, Items, Paragraph, Picture, Table
from rl_rmsprop.study.report.page_style import DARK_FIGURE, FRAGMENT_STYLE, NARROW, STYLE
from rl_rmsprop.study.report.plotting import STYLES, look

NARROW_FOLDER = "narrow"
"""In the report's folder: figures for narrow screens, under the names of the others."""


def render(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """The whole page; `folder` holds the pictures."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escaped(title)}</title><style>{STYLE}</style>"
    headings = anchored(blocks)
    anchors = iter(anchor for _, anchor in headings)
    body = "\n".join(
        heading(block, next(anchors)) if isinstance(block, Heading) else render_block(block, folder, headings) for block in blocks
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><h1>{escaped(title)}</h1>\n{body}\n</body></html>\n'


def fragment(blocks: Sequence[Block]) -> str:
    """Some blocks without pictures as a piece of HTML, for a notebook's cell."""
    parts = [
        f"<h{block.level}>{escaped(block.text)}</h{block.level}>"
        if isinstance(block, Heading)
        else render_block(block, Path(), ())
        for block in blocks
    ]
    return f'<div class="rl-rmsprop"><style>{FRAGMENT_STYLE}</style>{"".join(parts)}</div>'


def escaped(text: str) -> str:
    """A text as HTML; `β = 0.99` stays on one line."""
    return html.escape(text).replace("β = ", "β\u00a0=\u00a0")


def anchored(blocks: Sequence[Block]) -> list[tuple[Heading, str]]:
    """Every heading with its anchor, which begins with that of its section: `cartpole-v1.spread-between-runs`."""
    section, result = "", []
    for block in blocks:
        if isinstance(block, Heading):
            name = re.sub(r"[^a-z0-9.]+", "-", block.text.lower()).strip("-")
            section = name if block.level == 2 else section
            result.append((block, name if block.level == 2 else f"{section}.{name}"))
    return result


def heading(block: Heading, anchor: str) -> str:
    """A heading that links lead to."""
    return f'<h{block.level} id="{anchor}">{escaped(block.text)}</h{block.level}>'


def render_block(block: Block, folder: Path, headings: Sequence[tuple[Heading, str]]) -> str:
    """One block that is no heading."""
    match block:
        case Heading():
            raise TypeError("a heading needs its anchor")
        case Paragraph(text, kind):
            return f'<p class="{kind}">{escaped(text)}</p>'
        case Cautions(items):
            return f'<aside class="cautions"><b>Beware</b>{bullets(items)}</aside>'
        case Contents(files):
            links = [f'<a href="{escaped(path)}">{escaped(path)}</a> {escaped(what)}' for path, what in files]
            return f"<nav><b>Contents</b>{sections(headings)}<p>Files: {', '.join(links)}.</p></nav>"
        case Table():
            return table(block)
        case Picture():
            return picture(block, folder)
        case Items(items):
            return bullets(items)
        case Code(text):
            return f"<pre>{escaped(text)}</pre>"


def bullets(items: Sequence[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escaped(item)}</li>" for item in items) + "</ul>"


def sections(headings: Sequence[tuple[Heading, str]]) -> str:
    """Links to all headings, those of parts behind that of their section."""
    lines: list[list[str]] = []
    for block, anchor in headings:
        link = f'<a href="#{anchor}">{escaped(block.text)}</a>'
        if block.level == 2 or not lines:
            lines.append([link])
        else:
            lines[-1].append(link)
    parts = (": ".join([line[0], *([" · ".join(line[1:])] if line[1:] else [])]) for line in lines)
    return "<ul>" + "".join(f"<li>{part}</li>" for part in parts) + "</ul>"


def picture(block: Picture, folder: Path) -> str:
    """A figure, in its narrow form where the screen is narrow, and links to its files."""
    narrow = folder / NARROW_FOLDER / f"{block.name}.svg"
    source = f'<source media="{NARROW}" srcset="{embedded(narrow)}">' if narrow.is_file() else ""
    image = f'<img alt="{escaped(block.caption)}" src="{embedded(folder / f"{block.name}.svg")}">'
    links = " ".join(f'<a href="{escaped(block.name)}.{ending}">{ending.upper()}</a>' for ending in ("svg", "png"))
    return f"<figure><picture>{source}{image}</picture><figcaption>{escaped(block.caption)} {links}</figcaption></figure>"


def embedded(path: Path) -> str:
    """A figure for dark screens too, as the address of an image."""
    head, defs, rest = path.read_text(encoding="utf-8").partition(" <defs>")  # the first one holds the style of all lines
    return "data:image/svg+xml;base64," + base64.b64encode((head + DARK_FIGURE + defs + rest).encode()).decode()


def table(block: Table) -> str:
    """A table in a box of its own that scrolls; arms have their colour in front, cells know their column's name."""
    classes = [' class="word"' if i < block.words else "" for i in range(len(block.header))]
    names = [escaped(cell) for cell in block.header]
    head = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(classes, names, strict=True))
    marks = block.marks or [None] * len(block.rows)
    rows = []
    for mark, row in zip(marks, block.rows, strict=True):
        cells = [escaped(cell) for cell in row]
        if mark is not None:
            place = list(block.header).index("arm")
            cells[place] = chip(mark) + cells[place]
        columns = zip(classes, names, cells, strict=True)
        rows.append("<tr>" + "".join(f'<td{kind} data-name="{name}"><span>{cell}</span></td>' for kind, name, cell in columns))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"</tr>".join(rows)}</tr></tbody></table></div>'


DASHES = dict(zip(STYLES, ("", "5 3", "2 2", "6 2 2 2", "5 1 1 1 1 1", "1 3"), strict=True))
"""The figures' line styles as SVG has them."""


def chip(place: int) -> str:
    """A stroke in the arm's colour and line style, as in the figures."""
    colour, style = look(place)
    line = f'<line x1="0" y1="5" x2="22" y2="5" stroke="{colour}" stroke-width="4" stroke-dasharray="{DASHES[style]}"/>'
    return f'<svg class="chip" viewBox="0 0 22 10" aria-hidden="true">{line}</svg>'
