"""Baselines as texts: what their keys set, and what is made of a text in folders, labels and study files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import Parameter

from rl_rmsprop.baselines import BASELINES, AdamRel, parse
from rl_rmsprop.baselines.muon import BatchedMuon
from rl_rmsprop.study.spec.arms import Arm, make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import load_study
from tests.builders import study_of


def made(text: str) -> torch.optim.Optimizer:
    """The optimizer of a text."""
    return parse(text).optimizer([Parameter(torch.zeros(2, 3))], lr=0.5, eps=1e-3)


@pytest.mark.parametrize(
    ("text", "kind", "settings"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0}),
        ("momentum", torch.optim.SGD, {"momentum": 0.9}),
        ("adagrad", torch.optim.Adagrad, {"eps": 1e-3}),
        ("rmsprop", torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-3}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-3, "amsgrad": False}),
        ("adam:beta1=0.5", torch.optim.Adam, {"betas": (0.5, 0.999)}),
        ("adam:beta2=0.99,beta1=0", torch.optim.Adam, {"betas": (0.0, 0.99)}),
        ("adam_balanced", torch.optim.Adam, {"betas": (0.95, 0.95)}),
        ("adam_balanced:beta=0.8", torch.optim.Adam, {"betas": (0.8, 0.8)}),
        ("adam_rel:beta1=0.5,beta2=0.99", AdamRel, {"betas": (0.5, 0.99)}),
        ("adam_amsgrad:beta2=0.99", torch.optim.Adam, {"betas": (0.9, 0.99), "amsgrad": True}),
        ("adamax_momentum", torch.optim.Adamax, {"betas": (0.9, 0.999)}),
        ("muon", BatchedMuon, {"momentum": 0.95, "betas": (0.9, 0.999), "eps": 1e-3}),
        ("muon:momentum=0.5,beta1=0.8", BatchedMuon, {"momentum": 0.5, "betas": (0.8, 0.999)}),
    ],
)
def test_a_text_is_the_optimizer_it_names(text: str, kind: type[torch.optim.Optimizer], settings: dict[str, object]) -> None:
    """Silent failure: a key is read and not passed on, and an arm trains with the defaults under another's name."""
    optimizer = made(text)
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in ("lr", *settings)} == {"lr": 0.5, **settings}


@pytest.mark.parametrize("name", BASELINES)
def test_a_text_read_and_written_again_is_the_same(name: str) -> None:
    """Silent failure: a study that is resumed, or written as a file, has another baseline."""
    keys = BASELINES[name].keys
    text = name + "".join(f"{',' if i else ':'}{key}=0.25" for i, key in enumerate(keys.__dataclass_fields__))
    assert parse(parse(text).text) == parse(text)
    assert parse(name).text == name
    assert parse(name + (":" if keys.__dataclass_fields__ else "")).text == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adan", r"baseline must be a known optimizer, got 'adan': did you mean adam\?"),
        ("0.99", "baseline must be a known optimizer, got '0.99': known are sgd, momentum"),
        ("adam:beta=0.9", r"'adam:beta=0.9' has no key 'beta': did you mean beta2\?"),
        ("adam:beta1", "a rule is written name:key=value,key=value, got 'beta1'"),
        ("adam:beta1=1", r"beta1 must be in \[0, 1\), got 1.0: with 1 a running mean never moves; use 0.9 or so"),
        ("adam:beta2=nan", r"beta2 must be in \[0, 1\), got nan"),
        ("adam_balanced:beta=-0.1", r"beta must be in \[0, 1\), got -0.1"),
        ("muon:momentum=2", r"momentum must be in \[0, 1\), got 2.0"),
        ("rmsprop:alpha=0.9", "rmsprop has no keys, got 'rmsprop:alpha=0.9': write rmsprop"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, words: str) -> None:
    """Silent failure: torch accepts a key's value that nobody meant."""
    with pytest.raises(ValueError, match=words):
        make_arm(text, baseline=True)


def test_an_arm_with_keys_is_one_arm_from_the_study_file_to_the_report(tmp_path: Path) -> None:
    """Silent failure: two settings of Adam share a folder, or are taken for β rules when the study is read again."""
    arms = tuple(make_arm(text, baseline=True) for text in ("adam", "adam:beta1=0.5,beta2=0.99", "muon:momentum=0.9"))
    assert [arm.name for arm in arms] == ["adam", "adam_beta10.5_beta20.99", "muon_momentum0.9"]
    assert [arm.label for arm in arms] == [arm.text for arm in arms]
    assert all(arm.is_baseline and arm.rule is None and not arm.is_fixed for arm in arms)
    assert Arm("adam:beta2=0.99,beta1=0.9").canonical == "adam:beta2=0.99"
    agent = make_agent("a2c", "CartPole-v1", {})
    study_of(tmp_path, ("CartPole-v1",), "a2c", (agent,), arms, (0, 1), 400, 1).save()
    assert load_study(tmp_path).arms == arms
    twice = (arms[0], make_arm("adam:beta1=0.9", baseline=True))
    with pytest.raises(ValueError, match="each of the arms may be given once, got adam twice"):
        study_of(tmp_path, ("CartPole-v1",), "a2c", (agent,), twice, (0, 1), 400, 1)
