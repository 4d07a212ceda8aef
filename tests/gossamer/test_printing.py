import os
from contextlib import suppress

import pytest

from gossamer.printing import Printer


def test_a_pipe_that_nobody_reads_is_the_commands_to_end() -> None:
    read, write = os.pipe()
    os.close(read)
    closed = os.fdopen(write, "w")
    printer = Printer(file=closed)
    with pytest.raises(BrokenPipeError):
        printer.print("text")
    printer.print("more")  # no second complaint on the way out
    with suppress(BrokenPipeError):
        closed.close()
