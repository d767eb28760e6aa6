"""`python -m gilder`."""

from gilder.cli import main

main()
