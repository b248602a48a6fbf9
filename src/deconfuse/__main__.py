"""`python -m deconfuse` is the command `deconfuse`."""

from deconfuse.cli import main

if __name__ == "__main__":
    main()
