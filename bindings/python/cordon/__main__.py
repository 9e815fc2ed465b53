"""python3 -m cordon is the command line."""
from .cli import main

main()
