"""What commands print tables with."""

from rich.console import Console

__all__ = ["Printer"]


class Printer(Console):
    """A console that leaves to `gossamer.commands.command` how a command ends whose output nobody reads.

    Raises
    ------
    BrokenPipeError
        By whatever prints; rich would end the process with exit code 1.
    """

    def on_broken_pipe(self) -> None:
        """Say so, and print no more."""
        self.quiet = True
        raise BrokenPipeError
