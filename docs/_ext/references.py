"""Links from type annotations to the page that documents the type, which is documented under its public name alone."""

from __future__ import annotations

import re
from typing import Any

from sphinx.util.nodes import make_refnode

import agents

OWN = re.compile(r"(rl_rmsprop|agents|envs)\.|^\w+$")


def setup(app: Any) -> dict[str, bool]:
    """Look for what Sphinx has not found."""
    for name in agents.__all__:  # it loads its names at first use, and autodoc documents what a module holds
        setattr(agents, name, getattr(agents, name))
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}


def resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A link to the documented object with the same last name; the bare text where none is documented, as of inner types."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = target.rpartition(".")[2]
    domain = env.get_domain("py")
    names = sorted((known for known in domain.objects if known.rpartition(".")[2] == name), key=len)
    if not OWN.match(target):
        return None
    if not names:
        return contnode
    entry = domain.objects[names[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, names[0])
