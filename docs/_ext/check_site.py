"""Checks of the built site that Sphinx does not make: `python docs/_ext/check_site.py docs/_build/html`.

- Every link within the site leads to a page, and to a place on it.
- No page loads anything from the network: scripts, styles, fonts, pictures.
- Every public name has an entry: all that is in the `__all__` of a module of the packages.
"""

from __future__ import annotations

import re
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import public_names

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}
REMOTE = re.compile(r"(https?:)?//")
IN_STYLES = re.compile(r"(?:@import\s+|url\()['\"]?(?:https?:)?//[^)'\";]+")


class Page(HTMLParser):
    """The links, ids and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif tag == "a" and name == "href" and value:
                self.links.append(value)
            elif (tag, name) in LOADED and value:
                self.loaded.append(value)


def main(folder: Path) -> list[str]:
    """A line for everything that is wrong."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in folder.rglob("*.html") if "_static" not in file.parts}
    wrong = [line for file, page in pages.items() for line in of_page(file, page, pages, folder)]
    for style in folder.rglob("*.css"):
        wrong += [f"{style.relative_to(folder)} loads {url}" for url in IN_STYLES.findall(style.read_text(encoding="utf-8"))]
    return wrong + [f"{name} has no entry in the reference" for name in missing(folder)]


def of_page(file: Path, page: Page, pages: dict[Path, Page], folder: Path) -> list[str]:
    """What is wrong with a page."""
    where = file.relative_to(folder)
    wrong = [f"{where} loads {url}" for url in page.loaded if REMOTE.match(url)]
    for link in (*page.links, *(url for url in page.loaded if not REMOTE.match(url))):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not target.exists():
            wrong.append(f"{where} links to {link}, which does not exist")
        elif target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].ids:
            wrong.append(f"{where} links to {link}, a place that the page does not have")
    return wrong


def missing(folder: Path) -> list[str]:
    """Public names without an entry in the site's inventory of objects."""
    *_, compressed = (folder / "objects.inv").read_bytes().split(b"\n", 4)
    lines = (line.split(" ") for line in zlib.decompress(compressed).decode("utf-8").splitlines())
    documented = {name for name, role, *_ in lines if role.startswith("py:")}
    return public_names.without_entry(documented)


if __name__ == "__main__":
    found = main(Path(sys.argv[1]).resolve())
    print("\n".join(found) or f"{sys.argv[1]}: links, names and files are in order")
    sys.exit(bool(found))
