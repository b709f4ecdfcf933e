"""`rl-rmsprop doctor` finds what is wrong, which is pretended here, and says so without failing itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

from rl_rmsprop import machine
from rl_rmsprop.cli import main
from rl_rmsprop.cli.doctor import lines
from rl_rmsprop.diagnosis import examination, hardware, imports, sameness, software
from rl_rmsprop.diagnosis.finding import Finding, note, ok, problem
from rl_rmsprop.diagnosis.imports import Attempt, Import
from rl_rmsprop.native import library

ROOT = Path(__file__).parents[1]
ALL_WELL = {module: Import(module, "1.0") for module in software.MODULES}


class Instead:
    """An attempt at importing that has these results."""

    def __init__(self, **results: Import) -> None:
        self._results = {**ALL_WELL, **results}

    def results(self) -> dict[str, Import]:
        return self._results


def pretended(monkeypatch: pytest.MonkeyPatch, **results: Import) -> None:
    """Let the doctor find that imports had these results."""
    monkeypatch.setattr(examination, "Attempt", lambda modules: Instead(**results))


# The verb ---------------------------------------------------------------------------------------------------------------------


def test_all_is_well_where_the_tests_run(tmp_path: Path) -> None:
    """A doctor that finds fault with a sound installation is not believed."""
    words = [sys.executable, "-m", "rl_rmsprop", "doctor", "--json", "--out", str(tmp_path / "runs")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    findings = [Finding(**entry) for entry in json.loads(done.stdout)]
    assert [finding for finding in findings if finding.level == "problem"] == []
    assert done.returncode == 0
    assert {*software.NEEDED, "kernel", "cores", "memory", "disk", "GPU", "locale", "package envs"} <= {
        f.subject for f in findings
    }
    assert list(tmp_path.iterdir()) == []


def test_a_problem_is_exit_3_and_a_note_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that asks before a long study reads the exit code alone."""
    monkeypatch.chdir(tmp_path)
    found = [ok("a", "is fine"), note("b", "is slow", "be patient")]
    monkeypatch.setattr(examination, "examine", lambda folder: iter(found))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no problem"
    found.append(problem("c", "is broken", "mend it"))
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "OK       a                  is fine"
    assert out[-3:] == ["PROBLEM  c                  is broken", " " * 28 + "→ mend it", "1 problem: see above"]
    assert main(["doctor", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)[2] == {
        "subject": "c",
        "level": "problem",
        "text": "is broken",
        "remedy": "mend it",
    }


def test_lines_are_no_wider_than_the_terminal() -> None:
    """What is cut off is the remedy."""
    wide = problem("kernel", "a word " * 30, "another one " * 20)
    assert all(len(line) <= 80 for line in lines(wide, 80))
    assert " ".join(" ".join(lines(wide, 80)).split()).endswith("another one")


def test_it_answers_where_other_verbs_cannot(tmp_path: Path) -> None:
    """With a foreign package no other verb can be imported; the doctor is asked for exactly that."""
    (tmp_path / "envs.py").write_text("raise RuntimeError('not to be run')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    words = [sys.executable, "-m", "rl_rmsprop", "doctor", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 3
    problems = [entry for entry in json.loads(done.stdout) if entry["level"] == "problem"]
    assert [entry["subject"] for entry in problems] == ["package envs"]
    assert str(tmp_path / "envs.py") in problems[0]["text"]
    assert "of its own" in problems[0]["remedy"]


def test_a_check_that_fails_itself_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback in place of the one line that would have helped."""
    pretended(monkeypatch, torch=Import("torch"))

    def broken() -> Finding:
        raise RuntimeError("no such\nthing")

    monkeypatch.setattr(hardware, "cores", broken)
    found = {finding.subject: finding for finding in examination.examine(tmp_path)}
    assert found["cores"].level == "problem"
    assert found["cores"].text == "could not be looked at: RuntimeError: no such thing"


# Imports ----------------------------------------------------------------------------------------------------------------------


def test_imports_are_tried_one_by_one_whatever_happens_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled package that ends Python would end the doctor, and its neighbours would not be looked at."""
    (tmp_path / "talks.py").write_text("print('hello'); print('imported: ')")
    (tmp_path / "fails.py").write_text("raise ImportError('libGL.so.1:\\ncannot open')")
    (tmp_path / "kills.py").write_text("import os; os._exit(11)")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Attempt(["fails", "kills", "no_such_module", "json"]).results() == {
        "fails": Import("fails", "?", "ImportError: libGL.so.1: cannot open"),
        "kills": Import("kills", error="importing it ends Python, with exit code 11"),
        "no_such_module": Import("no_such_module"),
        "json": Import("json", "?"),
    }


def test_an_import_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that waits for a server at import would let the doctor wait too."""
    (tmp_path / "waits.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(imports, "LONGEST", 1.0)
    assert Attempt(["json", "waits"]).results()["waits"].error == "importing it takes more than 1 seconds"


def test_what_is_needed_and_missing_or_broken_is_a_problem() -> None:
    """`No module named safetensors` in the middle of a study."""
    results = {**ALL_WELL, "torch": Import("torch", "2.13.0", "OSError: libtorch"), "rich": Import("rich")}
    found = {finding.subject: finding for finding in software.needed(results)}
    assert {name for name, finding in found.items() if finding.level == "problem"} == {"torch", "rich"}
    assert found["torch"].remedy == "install it again: pip install --force-reinstall torch"


def test_a_version_that_was_not_tried_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has torch 1.13 looks for the fault in their own code."""
    assert software.tried_versions().keys() >= {"torch", "numpy", "gymnasium", "google_crc32c"}
    monkeypatch.setattr(software, "tried_versions", lambda: {"torch": "<2.15,>=2.11", "numpy": "<3,>=2.0"})
    results = {**ALL_WELL, "torch": Import("torch", "1.13.1+cpu"), "numpy": Import("numpy", "2.4.6")}
    found = {finding.subject: finding for finding in software.needed(results)}
    assert (found["torch"].level, found["numpy"].level) == ("note", "ok")
    assert "1.13.1+cpu, where <2.15,>=2.11 was tried" in found["torch"].text


def test_an_extra_that_is_missing_is_fine_and_one_that_is_broken_is_not() -> None:
    """Extras are optional; one that was asked for and does not work is a problem."""
    results = {**ALL_WELL, "ray": Import("ray"), "mujoco": Import("mujoco", "3.1.0", "ImportError: libOSMesa")}
    found = {finding.subject: finding for finding in software.extras(results)}
    assert (found["extra ray"].level, found["extra ray"].text) == ("ok", "not installed")
    assert found["extra mujoco"].level == "problem"
    assert "pip install --force-reinstall 'rl-rmsprop[mujoco]'" in found["extra mujoco"].remedy


def test_every_extra_for_users_is_looked_at() -> None:
    """A new extra must be on the doctor's list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*software.EXTRAS} == {*project["optional-dependencies"]} - {"bench", "dev", "docs"}


# The kernel -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compiler", "said"), [(None, "install one (GCC or Clang), then"), ("/usr/bin/c++", "now there is")])
def test_why_the_kernel_is_not_compiled_is_said(compiler: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the speed is lost without a word where no compiler was there at the installation."""
    monkeypatch.setattr(library, "load", lambda: None)
    monkeypatch.setattr(software.shutil, "which", lambda name: compiler)
    finding = software.kernel()
    assert finding.level == "note"
    assert said in f"{finding.text} → {finding.remedy}"


def test_a_kernel_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was built for another machine fails in every worker."""

    def wrong() -> None:
        raise OSError("invalid ELF header")

    monkeypatch.setattr(library, "load", wrong)
    finding = software.kernel()
    assert (finding.level, "invalid ELF header" in finding.text) == ("problem", True)


def test_instructions_that_compute_other_bits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left out in silence, and trainings are slower than they should be."""
    monkeypatch.setattr(library, "load", lambda: object())
    monkeypatch.setattr(library, "instruction_sets", lambda: {"avx512": 0, "avx2": 1, "plain": 2})
    monkeypatch.setattr(library, "quickest", lambda: "avx2")
    finding = software.kernel()
    assert (finding.level, finding.text.partition(":")[0]) == ("note", "compiled, avx2")
    monkeypatch.setattr(library, "quickest", lambda: "avx512")
    assert software.kernel() == ok("kernel", "compiled, avx512 (of avx512, avx2, plain)")


def test_a_run_that_differs_in_a_batch_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise on which every comparison stands, checked on the processor at hand."""
    assert {finding.level for finding in sameness.same_bits()} == {"ok"}
    honest = sameness.weights
    monkeypatch.setattr(sameness, "weights", lambda seeds, kernel: [*honest(seeds, kernel)[:-1], b""])
    assert {finding.level for finding in sameness.same_bits()} == {"problem"}


# The machine ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group of this process, /a/b, without limits of its own."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/x\n0::/a/b\n")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUP", own)
    return tmp_path


def test_the_limit_of_a_container_is_found(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers on the time of one and a half cores: each run seems eight times slower than published."""
    monkeypatch.setattr(machine, "cores", lambda: 8)
    (cgroup / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert machine.core_limit() is None
    assert hardware.cores().level == "ok"
    (cgroup / "a" / "cpu.max").write_text("150000 100000\n")
    assert machine.core_limit() == 1.5
    finding = hardware.cores()
    assert (finding.level, finding.remedy) == ("note", "train with --workers 1")
    (cgroup / "memory.max").write_text("500000000\n")
    assert machine.memory() == 500_000_000
    assert hardware.memory().level == "note"


def test_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that begins to swap takes a day for an hour's study."""
    monkeypatch.setattr(machine, "memory", lambda: 8 * 10**9)
    monkeypatch.setattr(machine, "free_memory", lambda: 2 * 10**8)
    assert (hardware.memory().level, hardware.memory().text) == ("note", "8.0 GB, 0.2 GB free")
    monkeypatch.setattr(machine, "free_memory", lambda: None)
    assert hardware.memory().level == "ok"


@pytest.mark.parametrize(("free", "level"), [(10**7, "problem"), (10**9, "note"), (10**11, "ok")])
def test_a_disk_that_is_nearly_full_is_found(free: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that ends at three in the morning with `No space left on device`."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda place: usage(10**12, 0, free))
    assert hardware.disk(tmp_path / "not" / "yet").level == level


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    """/proc refuses files even of root."""
    refused, temporary = hardware.folders(Path("/proc/runs"))
    assert (refused.subject, refused.level, temporary.level) == ("results", "problem", "ok")
    assert hardware.writable("results", tmp_path, "").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_more_threads_than_cores_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container torch may count the cores of the whole machine, and all of them wait for one another."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setattr(machine, "cores", lambda: 4)
    assert (hardware.threads().level, hardware.threads().remedy) == ("note", "set OMP_NUM_THREADS=4")


@pytest.mark.parametrize(
    ("found", "driver", "level"), [(True, None, "ok"), (False, "/usr/bin/nvidia-smi", "note"), (False, None, "ok")]
)
def test_a_gpu_that_torch_does_not_see_is_a_note(
    found: bool, driver: str | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch without CUDA is what pip installs in many places; nothing says so."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: found)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "H100")
    monkeypatch.setattr(hardware.shutil, "which", lambda name: driver)
    assert hardware.gpu().level == level


def test_a_terminal_without_greek_is_a_note() -> None:
    """β is shown as an escape, which looks like a fault of the package."""
    code = "from rl_rmsprop.diagnosis import hardware; print(hardware.terminal().level)"
    levels = []
    for variables in ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}):
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIOENCODING"))}
        environment = {**plain, "PYTHONPATH": str(ROOT), **variables}
        levels.append(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout.strip()
        )
    assert levels == ["note", "ok"]
