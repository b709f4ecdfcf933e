"""Wheel and sdist: built, looked into, and each installed into an empty virtual environment and tried there.

    python -m tests.distribution            # ten minutes, most of them pip's; into dist/
    python -m tests.distribution --no-install    # build and look only

Run by `make dist`. What is tried has nothing of this checkout on its path.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import rl_rmsprop

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
VERSION = rl_rmsprop.__version__

IN_BOTH = (
    "rl_rmsprop/__init__.py", "rl_rmsprop/py.typed", "agents/__init__.py", "agents/py.typed", "envs/__init__.py", "envs/py.typed",
    "envs/severity.csv", "rl_rmsprop/walkthrough/__init__.py", "rl_rmsprop/diagnosis/imports.py",
)  # fmt: skip
IN_SDIST = (
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "constraints.txt", "Makefile",
    "examples/cleanrl_a2c_or_ppo.py", "tests/conftest.py", "tests/references.py", "tests/benchmarks/results.json",
    "docs/engines/README.md", "runs/example.toml", "rl_rmsprop/native/cpp/kernel.cpp",
)  # fmt: skip


def build() -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    for old in DIST.glob(f"rl_rmsprop-{VERSION}*"):
        old.unlink()
    run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)])
    (sdist,), (wheel,) = DIST.glob(f"rl_rmsprop-{VERSION}.tar.gz"), DIST.glob(f"rl_rmsprop-{VERSION}-*.whl")
    return sdist, wheel


def missing_in_sdist(sdist: Path) -> set[str]:
    """What should be in the sdist and is not: sources, headers of the kernel, tests, examples."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    headers = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rl_rmsprop/native/cpp").glob("*.h")}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    return {*IN_BOTH, *IN_SDIST, *sources(), *headers, *tests} - names


def missing_in_wheel(wheel: Path) -> set[str]:
    """What should be in the wheel and is not; tests should not be there, and the compiled kernel should."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = {*IN_BOTH, *sources()} - names
    if not any(name.startswith("rl_rmsprop/native/_native") for name in names):
        missing.add("rl_rmsprop/native/_native, the compiled kernel (is there a C++ compiler?)")
    strangers = {name.partition("/")[0] for name in names} - {"rl_rmsprop", "agents", "envs", f"rl_rmsprop-{VERSION}.dist-info"}
    return missing | {f"{name} should not be there" for name in strangers}


def sources() -> set[str]:
    """All modules of the three packages."""
    found = (path for package in ("rl_rmsprop", "agents", "envs") for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix() for path in found}


def try_out(artifact: Path) -> None:
    """Install it into an empty environment and use it there: import, command line, a short training, the doctor."""
    with tempfile.TemporaryDirectory(prefix="rl-rmsprop-") as place:
        folder = Path(place)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        run([python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(artifact)], folder)
        code = "import rl_rmsprop, agents, envs; print(rl_rmsprop.__version__, rl_rmsprop.__file__); rl_rmsprop.AdaptiveRMSprop"
        version, home = run([python, "-c", code], folder).split()
        assert version == VERSION, version
        assert Path(home).is_relative_to(folder), home
        command = str(folder / "venv" / "bin" / "rl-rmsprop")
        assert "usage: rl-rmsprop VERB" in run([command, "--help"], folder)
        words = "train --env CartPole-v1 --seeds 0 --steps 200 --eval-episodes 1 --out study"
        assert "report: study/report/report.html" in run([command, *words.split()], folder)
        config = json.loads((folder / "study/CartPole-v1/0.99/seed_0000/config.json").read_text(encoding="utf-8"))
        assert (config["versions"]["rl-rmsprop"], config["kernel"]) == (VERSION, "native"), config
        findings = {entry["subject"]: entry for entry in json.loads(run([command, "doctor", "--json"], folder))}
        assert findings["kernel"]["text"].startswith("compiled"), findings["kernel"]


def run(words: Sequence[str], folder: Path = ROOT) -> str:
    """What a command prints; it must succeed, and finds nothing of this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"exit code {done.returncode}: {' '.join(words)}\n{done.stdout}")
    return done.stdout


def main() -> int:
    """Build, look, try; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-install", action="store_true", help="do not install")
    args = parser.parse_args()
    sdist, wheel = build()
    missing = missing_in_sdist(sdist) | missing_in_wheel(wheel)
    if missing:
        print("missing:", *sorted(missing), sep="\n  ")
        return 1
    for artifact in (wheel, sdist) if not args.no_install else ():
        print(f"trying {artifact.name}", flush=True)
        try_out(artifact)
    print(f"ok: {wheel.name}, {sdist.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
