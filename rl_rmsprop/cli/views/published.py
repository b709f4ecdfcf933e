"""What `rl-rmsprop presets` shows: the published RMSProps, a row each."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_rmsprop.published import PUBLISHED, Published


def show(console: Console) -> None:
    """Print the table."""
    table = Table()
    for heading in ("preset", "lr", "β", "ε", "E₀", "half-life"):
        table.add_column(heading, no_wrap=True)
    for heading in ("more", "whose", "source"):
        table.add_column(heading, overflow="fold")
    for name, published in PUBLISHED.items():
        table.add_row(*(Text(cell) for cell in (name, *cells(published))))
    console.print(table)
    console.print(
        "half-life: updates after which a squared gradient counts half, and samples where an update has a usual number of them. "
        "In Python: AdaptiveRMSprop(parameters, **rl_rmsprop.presets('a3c')); clipping is up to you, before the step",
        soft_wrap=True,
    )


def cells(published: Published) -> tuple[str, ...]:
    """The row of an RMSProp, behind its name."""
    updates = published.half_life
    samples = f" · {updates * published.samples:,.0f} samples" if published.samples else ""
    place = "in √" if published.eps_in_sqrt else "outside"
    more = [
        "centred" if published.centered else "",
        f"momentum {published.momentum:g}" if published.momentum else "",
        "" if published.clip == "–" else f"clips {published.clip}",
    ]
    return (
        f"{published.lr:g}",
        f"{published.beta:g}",
        f"{published.eps:g} {place}" if published.eps else "0",
        f"{published.start:g}",
        f"{updates:.3g}{samples}",
        ", ".join(filter(None, more)),
        published.what,
        published.source,
    )
