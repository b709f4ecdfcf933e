"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rl_rmsprop.study.report.document import Block, Cautions, Code, Contents, Heading, Items, Paragraph, Picture, Table


def render(title: str, blocks: Sequence[Block]) -> str:
    """The whole document."""
    return "\n\n".join([f"# {title}", *(render_block(block) for block in blocks)]) + "\n"


def render_block(block: Block) -> str:
    """One block."""
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text, "finding"):
            return f"**{text}**"
        case Paragraph(text):
            return text
        case Cautions(items):
            return "\n".join(["> **Beware**", ">", *(f"> - {item}" for item in items)])
        case Contents(files):
            return "Files: " + ", ".join(f"[{path}]({path}) ({what})" for path, what in files) + "."
        case Table():
            return table(block)
        case Picture(name, caption):
            return f"![{caption}]({name}.png)"
        case Items(items):
            return "\n".join(f"- {item}" for item in items)
        case Code(text):
            return f"    {text}"


def table(block: Table) -> str:
    """A table, numbers to the right."""
    line = "|" + "".join("---|" if i < block.words else "--:|" for i in range(len(block.header)))
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (block.header, *block.rows)]
    return "\n".join([rows[0], line, *rows[1:]])
