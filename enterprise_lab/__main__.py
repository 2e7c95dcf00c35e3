"""The command `elab`, as `python -m enterprise_lab`."""

from enterprise_lab.cli import main

main()
