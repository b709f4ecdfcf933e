"""The study files of the reference study: they say what its protocol says."""

from pathlib import Path

import pytest

from rl_rmsprop.cli import parse
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.suite import scales

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "runs" / "reference").glob("*_*.toml"))
PROTOCOL = (ROOT / "docs" / "study" / "protocol.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    return {file.stem: parse(["compare", str(file)]).described("") for file in FILES}


def test_every_study_keeps_to_the_protocol(studies: dict[str, Study]) -> None:
    """Silent failure: one task has other seeds, draws or a falling lr, and is averaged with the rest."""
    known = scales.read(ROOT / "runs" / "reference" / "scales.toml")
    assert len(studies) >= 15
    for name, study in studies.items():
        assert study.seeds == tuple(range(200, 230)), name
        assert name.endswith("_linear") == (study.agents[0].lr_schedule == "linear"), name
        assert study.tune == (0 if "_lr" in name else 24), name
        assert study.tune_seeds == ((100000, 100001, 100002) if study.tune else ()), name
        assert study.env_ids[0] in known, name
        assert ("stationary" in name) == (not study.options.shift), name


def test_the_tasks_of_an_environment_have_the_same_arms_and_settings(studies: dict[str, Study]) -> None:
    """Silent failure: an arm is missing in one task, and its average is over easier ones."""
    main = {name: study for name, study in studies.items() if study.tune and not name.endswith("_linear")}
    for prefix in {name.split("_")[0] for name in main}:
        group = [study for name, study in main.items() if name.startswith(prefix)]
        assert len(group) == 5
        assert len({study.agents for study in group}) == len({study.options.steps for study in group}) == 1
        arms = [{arm.text for arm in study.arms} - {"oracle@cusum"} for study in group]  # there is none where nothing changes
        assert all(texts == arms[0] for texts in arms), prefix


def test_the_protocol_names_every_arm_and_task(studies: dict[str, Study]) -> None:
    """Silent failure: an arm or an environment is trained that no protocol has announced."""
    for study in studies.values():
        assert study.env_ids[0] in PROTOCOL
        assert f"{study.options.steps:,}" in PROTOCOL
        for arm in study.arms:
            text = arm.text.partition("@")[0] if arm.control_of else arm.text
            assert text in PROTOCOL or text.partition(":")[2] in PROTOCOL, text
