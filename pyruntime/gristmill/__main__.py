# SPDX-License-Identifier: MIT
"""`python -m gristmill`: the command line without the installed script."""

from __future__ import annotations

from gristmill.cli.main import main

if __name__ == "__main__":
    main()
