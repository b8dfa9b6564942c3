"""Sphinx: pages in reST, reference from docstrings, examples in both run by the doctest builder."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import scalenorm  # noqa: E402

project = "scalenorm"
author = "The scalenorm developers"
copyright = "2026, the scalenorm developers"
version = release = scalenorm.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "tables/*", "gallery"]
default_role = "any"
nitpicky = False
suppress_warnings = ["ref.any"]  # docstrings put arguments and modules in single backticks too

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

autosummary_generate = True
autodoc_typehints = "none"  # types with shapes, units and ranges are in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = f"scalenorm {version}"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["scalenorm.css"]
html_show_sourcelink = False
html_sidebars = {"**": ["pages"]}
html_theme_options = {
    "navbar_center": [],
    "article_header_start": [],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "use_edit_page_button": False,
}

# The examples run in a folder of their own, where there are some images and a cache of them with labels. They share it,
# so it is made once.
WORK = Path(tempfile.mkdtemp(prefix="scalenorm-docs-"))
doctest_global_setup = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "docs")!r})
from examples_setup import prepare
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.chdir({str(WORK)!r})
import scalenorm
sample = prepare()
"""
