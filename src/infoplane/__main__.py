"""`python -m infoplane` is the command `infoplane`."""

from infoplane.cli import main

if __name__ == "__main__":
    main()
