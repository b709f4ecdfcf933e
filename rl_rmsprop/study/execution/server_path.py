"""What the server that workers are forked from imports first, so that it finds this package's `agents` and `envs`.

`python -c`, by which Python starts the server, looks into the working directory before all else; and many people have a folder
`agents` there. Workers look for modules where the process does that started them.
"""

from __future__ import annotations

import sys

if sys.path and sys.path[0] == "":
    del sys.path[0]
