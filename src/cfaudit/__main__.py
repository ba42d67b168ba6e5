"""``python -m cfaudit``."""

from cfaudit.cli import main

main()
