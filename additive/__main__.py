"""`python -m additive` is `additive`."""

from __future__ import annotations

from additive.cli.main import main

if __name__ == "__main__":
    main()
