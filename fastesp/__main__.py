"""``python -m fastesp``: the command line, without an installed script."""

from fastesp.cli import main

main()
