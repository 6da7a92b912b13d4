"""``python -m adbench``: the command line, where the script ``adbench`` is not on the PATH."""

from .cli.main import main

if __name__ == "__main__":
    main()
