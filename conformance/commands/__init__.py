"""One file a command of `matchmark`: NAME, HELP, add_arguments, run. `conformance/cli.py` finds them."""
