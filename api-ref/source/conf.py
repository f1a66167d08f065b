# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the API reference; describe.py first makes the pages of requests from the code's own tables."""

import os
import sys

sys.path.insert(0, os.path.abspath(".."))
sys.path.insert(0, os.path.abspath("../.."))

import describe

project = "zun_lite"
copyright = "the zun_lite contributors"
extensions = ["os_api_ref", "openstackdocstheme"]
html_theme = "openstackdocs"
html_theme_options = {"sidebar_mode": "toc", "display_badge": False, "display_global_toc_section": False}
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_repo_name = ""
master_doc = "index"
source_suffix = ".rst"
exclude_patterns = []
pygments_style = "native"


def setup(app):
    describe.write(os.path.dirname(os.path.abspath(__file__)))
