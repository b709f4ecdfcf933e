"""The README: short enough to be read, and all that it shows runs, exists, and was measured."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from rl_rmsprop import TrainedStudy
from rl_rmsprop.cli import parse
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.detectors import DETECTORS
from rl_rmsprop.laws import LAWS
from rl_rmsprop.schedules import SCHEDULES
from tests.benchmarks.__main__ import MARKS, PAGE, PARTS, RESULTS, markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "pictures"


def test_readme_is_read_in_two_minutes() -> None:
    """Silent failure: details move back from the documentation, and nobody reads either."""
    assert len(README.splitlines()) <= 120


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
    assert lines[-1].startswith("CartPole-v1: ")
    study = names["study"]
    assert isinstance(study, TrainedStudy)
    assert [(run.arm, run.status) for run in study.runs] == [
        (arm, "finished") for arm in ("0.99", "cusum:arl=50000,max=0.99") for _ in range(3)
    ]
    assert (tmp_path / "runs" / "python" / "report" / "report.html").is_file()
    assert len((tmp_path / "telemetry.csv").read_text().splitlines()) == 1 + 3


def test_the_commands_of_the_readme_parse() -> None:
    """A flag that was renamed must be renamed here too."""
    lines = re.findall(r"^    (rl-rmsprop .*)$", README, re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        assert isinstance(parse(words), VERBS[words[0]])


def test_the_targets_and_links_of_the_readme_exist() -> None:
    """`make demo` and `make test` are all that a newcomer is asked to type; a link on a code host leads somewhere."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"    make (\w+)", README)) <= set(targets)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 20
    for link in links:
        assert (ROOT / link.partition("#")[0]).is_file(), link


def test_the_readme_counts_the_rules_that_there_are() -> None:
    """A new rule is one more."""
    counts = [int(n) for n in re.search(r"(\d+) schedules, (\d+) detectors and controls, (\d+) laws", README).groups()]  # type: ignore[union-attr]
    assert counts == [len(SCHEDULES), len(DETECTORS), len(LAWS)]


def test_the_caption_of_the_picture_says_what_was_counted() -> None:
    """A number that somebody has typed is nobody's measurement; a picture that is too large is not looked at on a train."""
    assert (PICTURES / "why_beta.png").stat().st_size <= 150_000
    with (PICTURES / "why_beta.csv").open(encoding="utf-8") as file:
        rows = {(row["study"], row["arm"]): row for row in csv.DictReader(file)}
    shown = ("0.99", "cusum:arl=50000,max=0.99", "asymmetric:rise=0.5,fall=0.99")
    caption = " ".join(re.search(r"^\*CartPole whose.*?\)\.\*$", README, re.MULTILINE | re.DOTALL)[0].split())  # type: ignore[index]
    back = re.search(
        r"(\d+) of (\d+) come back \(.*?(0\.\d+) to (0\.\d+)\).* E (\d+) \((0\.\d+) to (0\.\d+)\).* all (\d+) \((0\.\d+) to 1\)",
        caption,
    )
    lost = re.search(r"at equal steps the three lose (\d+), (\d+) and (\d+) runs", caption)
    assert back
    assert lost
    at_one_lr = [rows["one lr", arm] for arm in shown]
    low = [re.findall(r"0\.\d+|1\.00", row["share back"])[1:] for row in at_one_lr]
    assert back.groups() == (
        at_one_lr[0]["back"], at_one_lr[0]["runs"], *low[0], at_one_lr[1]["back"], *low[1], at_one_lr[2]["back"], low[2][0],
    )  # fmt: skip
    assert list(lost.groups()) == [rows["equal steps", arm]["lost"] for arm in shown]


def test_the_table_of_speed_is_what_was_measured() -> None:
    """A number that somebody has typed is nobody's measurement."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(PARTS)
    assert PAGE.read_text(encoding="utf-8").split(MARKS[0])[1].split(MARKS[1])[0] == markdown(results)
