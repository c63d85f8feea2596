"""`python -m tranship`: the commands of `tranship.cli`."""

from tranship.cli import main

if __name__ == "__main__":
    main(prog_name="tranship")
