"""Where commands begin, ``python -m gossamer`` and ``gossamer``: nothing is imported before an interrupt is met."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run one command and return its exit code, that of an interrupt while modules load too."""
    try:
        if not sys.warnoptions:
            # Libraries warn developers; users read results and one line of what is wrong. `python -W` shows them.
            import warnings

            warnings.simplefilter("ignore")
        from gossamer.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("gossamer: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
