"""`python -m grokbook`: the command line."""

from grokbook.cli import main

main(prog_name="python -m grokbook")
