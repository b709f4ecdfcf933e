"""The README runs: its Python, its commands, its map."""

import json
import re
import shlex
from pathlib import Path

import pytest

from rl_rmsprop import rules
from rl_rmsprop.cli import parse
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.study.run import StudyResults
from tests.benchmarks.__main__ import MARKS, PARTS, RESULTS, markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::UserWarning:stable_baselines3")
def test_the_python_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing that a practitioner copies must work, and train: results without runs are an empty list, not an error."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0.0"
    assert [line.split()[0] for line in lines[-2:]] == ["0.99", "cusum:arl=50000,max=0.99"]
    results = names["results"]
    assert isinstance(results, StudyResults)
    assert [len(arm.runs) for arm in results.arms] == [3, 3]
    assert (tmp_path / "runs" / "python" / "report" / "report.html").is_file()
    assert len((tmp_path / "telemetry.csv").read_text().splitlines()) == 1 + 3


def test_the_commands_of_the_readme_parse() -> None:
    """A flag that was renamed must be renamed here too."""
    lines = re.findall(r"^    (rl-rmsprop .*)$", README, re.MULTILINE) + re.findall(r"`(rl-rmsprop \w+ --[^`]*)`", README)
    assert len(lines) >= 15
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        assert isinstance(parse(words), VERBS[words[0]])


def test_the_rules_of_the_readme_parse() -> None:
    """A rule that was renamed must be renamed here too."""
    table = README.split("| a β rule |")[1].split("\n\n")[0]
    texts = re.findall(r"`([^`]+)`", table)
    assert len(texts) >= 9
    for text in texts:
        rules.parse(text)


def test_every_place_on_the_map_exists() -> None:
    """A map of rooms that have moved is worse than none."""
    table = README.split("## The map of the house")[1].split("\n\n")[1]
    here = ROOT
    for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[2:]:
        for name in re.findall(r"`([^`]+)`", cell):
            path = here / name if (here / name).exists() else ROOT / "rl_rmsprop" / name
            assert path.exists(), name


def test_the_targets_of_the_readme_exist() -> None:
    """`make demo` and `make test` are all that a newcomer is asked to type."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"    make (\w+)", README)) <= set(targets)
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_the_table_of_speed_is_what_was_measured() -> None:
    """A number that somebody has typed is nobody's measurement."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(PARTS)
    assert README.split(MARKS[0])[1].split(MARKS[1])[0] == markdown(results)
