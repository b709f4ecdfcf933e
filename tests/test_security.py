"""What this package never does with what it is given: run it, unpickle it, or open a door to the network."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rl_rmsprop.cli import main

ROOT = Path(__file__).parents[1]
PACKAGES = ("rl_rmsprop", "agents", "envs")

UNPICKLERS = ("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle")
"""Modules that make objects of bytes, and run what the bytes say."""
SERVERS = (
    "socketserver", "http.server", "xmlrpc.server", "wsgiref", "asyncio", "multiprocessing.managers", "flask", "aiohttp",
    "twisted", "tornado", "uvicorn",
)  # fmt: skip
RUNNERS = ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "code.interact", "runpy.run_path", "pty.spawn")
"""Calls that run text."""
LISTENERS = ("bind", "listen", "create_server", "start_server")
"""Methods that make a socket listen."""
SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
"""Call → the argument that keeps it from unpickling, which must be written out."""


def name_of(node: ast.expr) -> str:
    """A dotted name such as `os.system`; of what is no name, what stands behind its last dot."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def dangers(source: str) -> list[str]:
    """Whatever in a file's syntax tree could run what it reads, or listen."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or ""
            names = [alias.name if isinstance(node, ast.Import) else f"{module}.{alias.name}" for alias in node.names]
            banned = (*UNPICKLERS, *SERVERS, *RUNNERS)
            found += [f"import {name}" for name in names for ban in banned if name == ban or name.startswith(f"{ban}.")]
        elif isinstance(node, ast.Call):
            found += dangers_of(node)
    return found


def dangers_of(call: ast.Call) -> list[str]:
    """What is wrong with one call."""
    name, last = name_of(call.func), name_of(call.func).rpartition(".")[2]
    given = {keyword.arg: getattr(keyword.value, "value", ...) for keyword in call.keywords}
    found = [name] if name in RUNNERS or name.removeprefix("builtins.") in RUNNERS else []
    found += [f"{name} listens"] if last in LISTENERS else []
    found += [f"{name} with shell=True"] if given.get("shell", False) is not False else []
    found += [name] if name in ("pandas.eval", "pd.eval") else []
    found += [name] if "yaml" in name and last in ("load", "load_all", "unsafe_load", "full_load") else []
    found += [f"{name} unpickles"] if last in ("read_pickle", "read_hdf", "HDFStore", "load_module", "torchscript_load") else []
    if name in SAFE:
        option, value = SAFE[name]
        found += [] if given.get(option) is value else [f"{name} without {option}={value}"]
    found += [f"{name} unpickles"] if name in ("np.fromregex", "torch.jit.load", "torch.package.PackageImporter") else []
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_runs_what_it_reads_or_listens(package: str) -> None:
    """A results folder from a colleague, or a checkpoint from the web, must not be able to run anything."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): what for file in files if (what := dangers(file.read_text(encoding="utf-8")))}
    assert found == {}


PLANTED = (
    "import pickle", "from pickle import loads", "import marshal", "import shelve", "import dill as d", "import cloudpickle",
    "def f():\n    from multiprocessing import managers", "from http import server", "import http.server", "import socketserver",
    "from os import system", "eval('1')", "exec('x = 1')", "__import__('os')", "import builtins\nbuiltins.eval('1')",
    "import os\nos.system('ls')", "import os\nos.popen('ls')", "import yaml\nyaml.load(text)",
    "import yaml\nyaml.unsafe_load(text)", "import torch\ntorch.load(p)", "import torch\ntorch.load(p, weights_only=False)",
    "import torch\nflag = True\ntorch.load(p, weights_only=flag)", "import numpy as np\nnp.load(p)",
    "import numpy as np\nnp.load(p, allow_pickle=True)", "import subprocess\nsubprocess.run('ls', shell=True)",
    "import subprocess\nsubprocess.Popen('ls', shell=yes)", "import socket\nsocket.socket().bind(('', 80))", "server.listen()",
    "loop.create_server(f)", "import pandas\npandas.read_pickle(p)", "import pandas as pd\npd.read_hdf(p)", "pandas.eval('1')",
)  # fmt: skip


@pytest.mark.parametrize("source", PLANTED)
def test_the_search_finds_what_is_planted(source: str) -> None:
    """A search that finds nothing anywhere looks like a clean house."""
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(p, weights_only=True)",
        "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "import re\nre.compile('x')",
        "model.eval()",
        "import json\njson.load(f)",
    ],
)
def test_the_search_leaves_what_is_safe(source: str) -> None:
    """A search that cries at everything is switched off."""
    assert dangers(source) == []


# At work -----------------------------------------------------------------------------------------------------------------------

WATCH = """
import json, os, socket, sys
LOG = os.environ["WATCHED"]
def watch(event, arguments):
    told = event in ("socket.bind", "subprocess.Popen", "os.system", "exec", "pickle.find_class")
    if not told and not event.startswith(("ftplib.", "smtplib.", "http.", "urllib.")):
        return
    if event == "socket.bind":
        said = ["family", int(arguments[0].family), repr(arguments[1])]
    elif event == "exec":
        said = [getattr(arguments[0], "co_filename", "")]
    else:
        said = [repr(arguments)[:200]]
    with open(LOG, "a") as file:
        file.write(json.dumps([event, *said]) + chr(10))
sys.addaudithook(watch)
"""


CODE = """
import json, os, sys
from rl_rmsprop.cli import main
for line in sys.argv[1:]:
    code = main(line.split())
    with open(os.environ["WATCHED"], "a") as file:
        file.write(json.dumps(["ended", code]) + chr(10))
"""


def watched(lines: Sequence[str], folder: Path) -> list[tuple[int, list[list[str]]]]:
    """Exit code of `rl-rmsprop LINE` for each line in a folder, and what its processes did of what an audit hook hears.

    sitecustomize puts the hook into every Python that starts from there, before anything else. As with `python -m`, modules are
    found in the current folder.
    """
    place, log = folder / "watch", folder / "watched.jsonl"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(WATCH)
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}", "WATCHED": str(log)}
    subprocess.run([sys.executable, "-c", CODE, *lines], cwd=folder, env=environment, capture_output=True, timeout=300)
    ended: list[tuple[int, list[list[str]]]] = []
    events: list[list[str]] = []
    for event in map(json.loads, log.read_text().splitlines()):
        if event[0] == "ended":
            ended.append((event[1], events))
            events = []
        else:
            events.append(event)
    assert len(ended) == len(lines)
    return ended


LINE = "train --env CartPole-v1 --seeds 0 --steps 64 --eval-episodes 1 --out study --workers 1"


def test_training_listens_on_no_port_and_a_report_of_a_hostile_folder_runs_nothing_of_it(tmp_path: Path) -> None:
    """Whoever can reach a port of a worker can reach the machine; on a shared one that is everybody.

    multiprocessing's forkserver listens on a Unix socket in a folder that only the user may enter: no network is involved.

    A study from elsewhere is looked at with `report`; what it names must not be imported, unpickled or run.
    """
    assert main([*LINE.replace("study", str(tmp_path / "study")).split()]) == 0
    content = json.loads((tmp_path / "study" / "study.json").read_text())
    evil = f"open({str(tmp_path / 'ran')!r}, 'w').write('')\n"
    (tmp_path / "evil.py").write_text(evil)
    pickled = b"cposix\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    for name in ("checkpoint/weights.npz", "signals.npz"):
        (tmp_path / "study" / "CartPole-v1" / "0.99" / "seed_0000" / name).write_bytes(pickled)
    tried: tuple[tuple[str, dict[str, object]], ...] = (
        ("report", {"env_ids": ["evil:X-v0"]}),
        ("replay", {"env_ids": ["evil:X-v0"]}),
        ("report", {"record_signals": True}),
        ("evaluate", {}),
        ("replay", {}),
        ("report", {"arms": [{**content["arms"][0], "rule": "__import__('evil')"}]}),
    )  # not `evaluate` of evil:X-v0: to evaluate a policy is to run its environment, from the module that its id names
    for number, (_, hostile) in enumerate(tried):
        shutil.copytree(tmp_path / "study", tmp_path / f"study{number}")
        (tmp_path / f"study{number}" / "study.json").write_text(json.dumps({**content, **hostile}))
    reports = [f"{verb} study{number}" for number, (verb, _) in enumerate(tried)]
    *reported, (trained, events) = watched([*reports, LINE.replace("study", "watched")], tmp_path)
    for code, heard in reported:
        assert code in (0, 2)
        assert [event for event in heard if event[0] in ("os.system", "pickle.find_class") or "evil" in str(event[1:])] == []
    assert not (tmp_path / "ran").exists()
    assert trained == 0
    bound = [event for event in events if event[0] == "socket.bind"]
    assert all(event[1:3] == ["family", 1] for event in bound)  # AF_UNIX
    assert bound or sys.platform != "linux"  # else the hook heard nothing, and this test says nothing


def test_tensorboard_is_started_on_the_loopback_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer on 0.0.0.0 shows results, and a server with a history of holes, to the whole network."""
    from rl_rmsprop.cli.views import tensorboard

    started: list[list[str]] = []

    def start(program: str, words: list[str]) -> None:
        started.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", start)
    (tmp_path / "events.out.tfevents.0").write_bytes(b"")
    with pytest.raises(SystemExit):
        tensorboard.serve(tmp_path, 6006)
    (words,) = started
    assert [words[i + 1] for i, word in enumerate(words) if word == "--host"] == ["127.0.0.1"]
    assert not {"--bind_all", "--host=0.0.0.0"} & set(words)
