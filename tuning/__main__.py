"""`python -m tuning search`."""

import click

from tuning.search import command


@click.group(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
def main() -> None:
    """Search for the layers to keep, and for how to train them."""


main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m tuning")
