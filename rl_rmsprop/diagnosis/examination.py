"""All checks in order, each guarded: one that fails in a way that nobody foresaw is a problem of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from rl_rmsprop.diagnosis import hardware, sameness, software
from rl_rmsprop.diagnosis.finding import Finding, problem
from rl_rmsprop.diagnosis.imports import Attempt

Check = Callable[[], Finding | Iterable[Finding]]


def examine(folder: Path) -> Iterator[Finding]:
    """Look at software and machine, for studies whose results go below `folder`; takes about ten seconds, and leaves nothing."""
    attempt = Attempt(software.MODULES)
    yield from guarded("versions", software.versions)
    for name, check in machine_checks(folder).items():
        yield from guarded(name, check)
    imports = attempt.results()
    yield from guarded("needed packages", partial(software.needed, imports))
    yield from guarded("extras", partial(software.extras, imports))
    foreign = list(software.foreign_packages())
    yield from foreign
    yield from guarded("kernel", software.kernel)
    works = {module: entry.version and not entry.error for module, entry in imports.items()}
    if works["torch"]:
        yield from guarded("torch threads", hardware.threads)
        yield from guarded("GPU", hardware.gpu)
    if all(works[module] for module in ("torch", "numpy", "gymnasium")) and all(entry.level == "ok" for entry in foreign):
        yield from guarded("same bits", sameness.same_bits)


def machine_checks(folder: Path) -> dict[str, Check]:
    """The checks that need nothing but Python."""
    return {
        "cores": hardware.cores,
        "memory": hardware.memory,
        "disk": partial(hardware.disk, folder),
        "folders": partial(hardware.folders, folder),
        "locale": hardware.terminal,
    }


def guarded(subject: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; an exception is one too."""
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except Exception as error:
        text = f"could not be looked at: {' '.join(f'{type(error).__name__}: {error}'.split())}"
        yield problem(subject, text, "report this with the output of rl-rmsprop doctor --json")
