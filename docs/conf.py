"""How the documentation is built: `make docs`. Nothing is fetched while it is built, and nothing when it is read."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from rl_rmsprop import __version__

project = "rl-rmsprop"
author = "the authors of rl-rmsprop"
copyright = "2026, the authors of rl-rmsprop"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "docstrings",
    "generated",
    "references",
]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]

# Pages -------------------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"rl-rmsprop {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "tango"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

# Markdown ----------------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
highlight_language = "none"  # of blocks that name no language
smartquotes = False  # -- begins an option

# Notebooks ---------------------------------------------------------------------------------------------------------------

nb_execution_mode = "force"  # whenever they are read: not only their source may have changed
nb_execution_in_temp = True
profile = Path(__file__).parent / "_build" / "ipython" / "profile_default"  # kernels' advice looks like a warning
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n", encoding="utf-8")
os.environ["IPYTHONDIR"] = str(profile.parent)
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# The reference -----------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # a method that says nothing of its own is documented where it is defined
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

nitpicky = True
nitpick_ignore_regex = [
    # Other packages: nothing is fetched to find where they are documented.
    ("py:.*", r"(os|torch|np|numpy|gymnasium|gym|stable_baselines3|pandas|matplotlib|collections|pathlib|typing|rich)\b.*"),
]
