"""Versions of what is installed, whether it can be imported, and the compiled kernel."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from rl_rmsprop import companions
from rl_rmsprop.diagnosis.finding import Finding, note, ok, problem
from rl_rmsprop.diagnosis.imports import Import
from rl_rmsprop.version import __version__

NEEDED = ("torch", "numpy", "gymnasium", "Box2D", "pygame", "tensorboard", "matplotlib", "rich", "google_crc32c", "safetensors")
"""Modules that every installation has."""
EXTRAS: dict[str, tuple[str, ...]] = {
    "envpool": ("envpool",),
    "sb3": ("stable_baselines3",),
    "minatar": ("minatar",),
    "mujoco": ("mujoco",),
    "video": ("imageio_ffmpeg",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "river": ("river",),
    "examples": ("torchrl", "lightning"),
}
"""Extra → the modules that it is for."""
MODULES = (*NEEDED, *(module for modules in EXTRAS.values() for module in modules))
COMPILERS = ("c++", "g++", "clang++")


def versions() -> Iterator[Finding]:
    """Those of rl-rmsprop and Python."""
    home = Path(companions.__file__).parent
    yield ok("rl-rmsprop", f"{__version__}, in {home}")
    yield ok("python", f"{platform.python_version()} ({platform.system()} {platform.machine()}), {sys.executable}")


def needed(imports: Mapping[str, Import]) -> Iterator[Finding]:
    """What every installation has; a version that was not tried is a note."""
    tried = tried_versions()
    for module in NEEDED:
        found = imports[module]
        if found.error:
            yield problem(
                module, f"{found.version} cannot be imported: {found.error}".strip(), f"install it again: {pip(module)}"
            )
        elif not found.version:
            yield problem(module, "is not installed", "install it: pip install rl-rmsprop")
        elif module in tried and not fits(found.version, tried[module]):
            yield note(module, f"{found.version}, where {tried[module]} was tried", "if something is odd, install such a version")
        else:
            yield ok(module, found.version)


def extras(imports: Mapping[str, Import]) -> Iterator[Finding]:
    """What is optional; it may be missing, but what is there should work."""
    for extra, modules in EXTRAS.items():
        found = [imports[module] for module in modules]
        broken = [entry for entry in found if entry.error]
        if broken:
            text = "; ".join(f"{entry.module} {entry.version} cannot be imported: {entry.error}" for entry in broken)
            yield problem(f"extra {extra}", text, f"install it again: pip install --force-reinstall 'rl-rmsprop[{extra}]'")
        else:
            there = [f"{entry.module} {entry.version}" for entry in found if entry.version]
            yield ok(f"extra {extra}", ", ".join(there) or "not installed")


def foreign_packages() -> Iterator[Finding]:
    """Whether `agents` and `envs` are those of this package."""
    for name in companions.COMPANIONS:
        fault, _, remedy = companions.fault_of(name).rpartition(": ")
        yield problem(f"package {name}", fault, remedy) if fault else ok(f"package {name}", "is that of rl-rmsprop")


def kernel() -> Finding:
    """What will compute the networks on the CPU, and why not the compiled kernel."""
    from rl_rmsprop.native import library

    again = "install the package again: pip install --force-reinstall --no-deps --no-cache-dir rl-rmsprop"
    try:
        built = library.load() is not None
    except OSError as error:
        return problem("kernel", f"the compiled kernel cannot be loaded: {error}", again)
    if not built:
        compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
        why = (
            f"there was no C++ compiler when it was installed; now there is {compiler}" if compiler else "no C++ compiler is here"
        )
        first = "" if compiler else "install one (GCC or Clang), then "
        return note("kernel", f"torch: the compiled kernel is not built, {why}", f"to train about twice as fast, {first}{again}")
    if not library.is_useful():
        why = "the compiled kernel knows no vector instructions of this processor"
        return note("kernel", f"torch: {why}", "nothing to do; trainings take longer")
    sets, quickest = list(library.instruction_sets()), library.quickest()
    if quickest != sets[0]:
        text = f"compiled, {quickest}: on this processor {sets[0]} computes other bits than plain arithmetic"
        return note("kernel", text, "nothing to do but to report it: it is not used")
    return ok("kernel", f"compiled, {quickest} (of {', '.join(sets)})")


def tried_versions() -> dict[str, str]:
    """Module → the range of versions that this package asks for; of those whose distribution has the same name."""
    try:
        entries = requires("rl-rmsprop") or []
    except PackageNotFoundError:
        return {}
    ranges: dict[str, str] = {}
    for entry in entries:
        requirement, _, condition = entry.partition(";")
        name = requirement.partition("[")[0].rstrip("<>=!~,. 0123456789") or requirement
        if not condition:
            ranges[name.replace("-", "_")] = requirement.rpartition("]")[2].removeprefix(name)
    return ranges


def fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range such as <3,>=2.0; true where `packaging` is not there to tell."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(wanted).contains(version, prereleases=True)


def pip(module: str) -> str:
    """The command that installs a module's distribution again."""
    distribution = {"Box2D": "'gymnasium[box2d]'", "pygame": "'gymnasium[classic-control]'"}.get(module, module.replace("_", "-"))
    return f"pip install --force-reinstall {distribution}"
