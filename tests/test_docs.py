"""The documentation, without building it: its pages hang together, what they show runs, and the code's names are all there.

`make docs` builds it, executes the notebooks and checks the result (docs/_ext/check_site.py).
"""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import zlib
from pathlib import Path

import check_site
import docstrings
import gallery
import generated
import public_names
import pytest

from rl_rmsprop import rules
from rl_rmsprop.cli import parse
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.detectors import DETECTORS
from rl_rmsprop.laws import LAWS
from rl_rmsprop.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

PAGES = {
    file.relative_to(DOCS).as_posix(): file.read_text(encoding="utf-8")
    for file in sorted(DOCS.rglob("*.md"))
    if not {"_build", "_ext"} & {*file.relative_to(DOCS).parts}
}
NOTEBOOKS = [name for name, text in PAGES.items() if "{code-cell}" in text]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
RUNNING = [name for name, text in PAGES.items() if BLOCK.search(text)]
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


# Pages ----------------------------------------------------------------------------------------------------------------------


def entries(name: str) -> list[str]:
    """The pages that a page's tables of contents name."""
    found = []
    for body in re.findall(r"^```\{toctree\}\n(.*?)^```", PAGES[name], re.DOTALL | re.MULTILINE):
        lines = [line for line in body.splitlines() if line and line[0] != ":"]
        found += [resolved(name, f"{line}.md") for line in lines]
    return found


def resolved(name: str, link: str) -> str:
    """A link on a page as the path of a file below docs/, or beginning with .. for one beside it."""
    path = (DOCS / name).parent / link
    return Path(re.sub(r"[^/]+/\.\./", "", path.resolve().relative_to(ROOT).as_posix())).as_posix().removeprefix("docs/")


def test_every_page_can_be_reached_from_the_first() -> None:
    """Silent failure: a page that no table of contents names is never read."""
    reached, left = set(), ["index.md"]
    while left:
        name = left.pop()
        reached.add(name)
        left += [entry for entry in entries(name) if entry not in reached]
    assert reached == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    """Silent failure: a page is renamed, and those that send their readers to it still have its old name."""
    text = re.sub(r"^```.*?^```", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\{doc\}`(?:[^`<]*<([^`>]+)>|([^`]+))`", text)
    for target in [inner or bare for inner, bare in targets]:
        assert resolved(name, f"{target}.md") in PAGES, target
    labels = {label for page in PAGES.values() for label in LABEL.findall(page)}
    assert set(re.findall(r"\{ref\}`[^`<]*<([^`>]+)>`", text)) <= labels
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link and not link.startswith("#"):
            assert ((DOCS / name).parent / link.partition("#")[0]).exists(), link


def test_what_pages_take_from_the_code_is_made_and_what_is_made_is_taken() -> None:
    """Silent failure: a comment with a misspelt name stays a comment, and the table is not there."""
    wanted = [name for text in PAGES.values() for name in generated.PLACE.findall(text)]
    assert sorted(wanted) == sorted(generated.MAKERS)


@pytest.mark.parametrize("name", [name for name in generated.MAKERS if name != "gallery"])
def test_tables_from_the_code_have_rows(name: str) -> None:
    """Silent failure: a table whose source has moved is an empty one. (CONTRIBUTING.md need not be there.)"""
    text = generated.MAKERS[name](DOCS)
    if name != "contributing" or (ROOT / "CONTRIBUTING.md").is_file():
        assert len(text.splitlines()) >= 5
    widths = {line.count(" | ") - line.count("\\|") for line in text.splitlines() if line.startswith("| ---")}
    assert not widths or min(widths) >= 1


def test_every_option_of_every_verb_is_on_the_page_of_the_command_line() -> None:
    """Silent failure: an option is added to a group that the page lists for another verb alone."""
    text = generated.MAKERS["command_line"](DOCS)
    for name, verb in VERBS.items():
        assert f"## {name}\n" in text
        for option in generated.command_line.declared(verb):
            assert option.is_positional or f"`{option.flag}" in text


def test_every_place_on_the_map_exists() -> None:
    """A map of rooms that have moved is worse than none."""
    table = PAGES["reference/house.md"].split("| where |")[1]
    cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert len(cells) > 10
    for cell in cells:
        for name in re.findall(r"`([^`]+)`", cell):
            assert any((place / name).exists() for place in (ROOT, ROOT / "rl_rmsprop")), name


# What is shown ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNNING)
def test_the_python_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies works, and what is printed below a prompt is what comes out. Blocks of a page share their names."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(BLOCK.findall(PAGES[name])):
        if block.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block, names, name, name, number)
            names = test.globs
            assert doctest.DocTestRunner(verbose=False).run(test, clear_globs=False).failed == 0
        else:
            exec(compile(block, name, "exec"), names)


def commands() -> list[tuple[str, str]]:
    """Page and command, of every line that begins with rl-rmsprop in a block of a page."""
    return [
        (name, line.strip())
        for name, text in PAGES.items()
        for line in re.findall(r"^ *(?=rl-rmsprop )(.*)$", text, re.MULTILINE)
        if not line.endswith(("is", "lists the"))
    ]


def test_the_commands_of_the_pages_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that was renamed must be renamed there too."""
    for folder in ("runs", "docs"):
        for file in (ROOT / folder).rglob("*.toml"):
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copy(ROOT / "runs" / "example.toml", tmp_path / "study.toml")
    monkeypatch.chdir(tmp_path)
    lines = [(name, line.partition(" > ")[0]) for name, line in commands() if "VERB" not in line and "…" not in line]
    found = [(name, shlex.split(line, comments=True)[1:]) for name, line in lines]
    assert len(found) >= 40
    for name, words in found:
        if words and words[0] in VERBS:
            assert isinstance(parse(words), VERBS[words[0]]), name


def test_modules_and_targets_that_pages_name_exist() -> None:
    """Silent failure: a number's command is one that there no longer is."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for name, text in PAGES.items():
        for module in re.findall(r"python -m (tests[\w.]*\w)", text):
            path = ROOT / Path(*module.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), (name, module)
        for script in re.findall(r"python (docs/\S+\.py)", text):
            assert (ROOT / script).is_file(), (name, script)
        assert set(re.findall(r"(?:^|`)make (\w+)(?=[` \n])", text, re.MULTILINE)) <= set(targets), name


def test_the_rules_in_the_table_of_texts_parse() -> None:
    """A rule that was renamed must be renamed there too."""
    table = PAGES["reference/rules.md"].split("| a β rule |")[1].split("\n\n")[0]
    texts = re.findall(r"`([^`]+)`", table)
    assert len(texts) >= 25
    for text in texts:
        rules.parse(text)


def test_notebooks_have_a_header_that_jupytext_reads() -> None:
    """Silent failure: without it a notebook is a page whose code nobody runs."""
    assert len(NOTEBOOKS) == 5
    for name in NOTEBOOKS:
        assert re.match(r"---\njupytext:\n(?: .*\n)+kernelspec:\n(?: .*\n)+---\n", PAGES[name]), name


# Gallery ------------------------------------------------------------------------------------------------------------------------


def test_every_registered_rule_has_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a new rule that cannot run on the gallery's stream is found when the site is built."""
    monkeypatch.setattr(gallery, "UPDATES", 12)
    monkeypatch.setattr(gallery, "RISE", 4)
    monkeypatch.setattr(gallery, "FALL", 8)
    gallery.stream.cache_clear()
    found = gallery.entries(tmp_path)
    assert [entry.name for entry in found] == [entry.name for entry in found if entry.what]
    assert {entry.name for entry in found} == {*SCHEDULES, *DETECTORS, *LAWS}
    for entry in found:
        curves = gallery.curves(entry.text)
        assert curves.beta.shape == (12,)
        assert ((curves.beta >= 0) & (curves.beta < 1)).all(), entry.name
        assert (curves.effective_lr[1:] > 0).all(), entry.name
    gallery.draw(found[0].text, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000
    gallery.stream.cache_clear()


# Reference ----------------------------------------------------------------------------------------------------------------------


def test_every_public_name_has_an_entry_in_the_reference() -> None:
    """Silent failure: what is in an `__all__` is promised to users, and found nowhere."""
    assert public_names.without_entry(public_names.announced()) == []


def test_a_public_name_without_an_entry_is_noticed() -> None:
    """Silent failure: the test above passes because it looks at nothing."""
    names = {name for name in public_names.announced() if not name.endswith("Cusum")}
    assert public_names.without_entry(names) == ["rl_rmsprop.detectors.Cusum"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("`E` of |g|, *not* **of** detector_ or a * b", "``E`` of \\|g\\|, *not* **of** detector\\_ or a \\* b"),
        ("two `words`s, ``code``", "two ``words``\\ s, ``code``"),
    ],
)
def test_a_line_of_a_docstring_is_shown_as_it_is_read(line: str, expected: str) -> None:
    """Silent failure: |g| is a substitution, detector_ a link, and `E` in italics."""
    assert docstrings.inline(line) == expected


def test_equations_keep_their_lines_and_sections_are_left_alone() -> None:
    """Silent failure: two equations become one sentence, or an argument an equation."""
    lines = ["It is", "", "    E = |g|", "    w = 1", "", "Args:", "    x: what `is`", "", ">>> f(|x|)", "1"]
    assert docstrings.converted(lines) == [
        "It is", "", "", "::", "", "    E = |g|", "    w = 1", "", "", "Args:", "    x: what ``is``", "", ">>> f(|x|)", "1",
    ]  # fmt: skip


# The check of the built site -----------------------------------------------------------------------------------------------


def test_the_check_of_the_site_finds_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: the check of the built site passes whatever the site is."""
    monkeypatch.setattr(
        public_names, "public", lambda: iter([("rl_rmsprop.rules.parse", rules.parse), ("rl_rmsprop.rules.text", rules.text)])
    )
    (tmp_path / "objects.inv").write_bytes(
        b"# Sphinx inventory version 2\n# Project: x\n# Version: 1\n# The rest is compressed\n"
        + zlib.compress(b"rl_rmsprop.rules.parse py:function 1 rules.html#$ -\n")
    )
    (tmp_path / "other.html").write_text('<p id="here">text</p>', encoding="utf-8")
    (tmp_path / "page.html").write_text(
        '<script src="https://cdn.example/x.js"></script><a href="other.html#here">1</a><a href="other.html#gone">2</a>'
        '<a href="missing.html">3</a><a href="https://example.org">4</a>',
        encoding="utf-8",
    )
    (tmp_path / "style.css").write_text("@import 'https://fonts.example/a.css';", encoding="utf-8")
    assert check_site.main(tmp_path) == [
        "page.html loads https://cdn.example/x.js",
        "page.html links to other.html#gone, a place that the page does not have",
        "page.html links to missing.html, which does not exist",
        "style.css loads @import 'https://fonts.example/a.css",
        "rl_rmsprop.rules.text has no entry in the reference",
    ]
