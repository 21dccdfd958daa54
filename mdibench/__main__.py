"""``python -m mdibench``: the command line with its exit statuses, and no traceback for users."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mdibench import errors
from mdibench.cli import cli
from mdibench.cli.streams import adapt_streams
from mdibench.errors import say


def main() -> None:
    """Run the command line and end the process with its status."""
    adapt_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Exit status of ``mdibench ARGUMENTS``; every expected failure becomes lines on stderr."""
    if "--debug" in arguments:
        return int(cli.main(arguments, "mdibench", standalone_mode=False) or 0)
    try:
        _check_working_folder()
        return int(cli.main(arguments, "mdibench", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.Abort:
        return errors.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as failure:
        failure.show()
        return errors.USAGE_ERROR
    except click.ClickException as failure:
        say(_in_one_line(failure))
        return errors.USAGE_ERROR
    except errors.UserError as failure:
        for problem in failure.problems:
            say(str(problem))
        return failure.status
    except errors.MdibenchError as failure:
        say(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return errors.OK
    except OSError as failure:  # a path of the user's: rooms that know a remedy say it themselves
        where = f"{failure.filename}: " if failure.filename else ""
        say(f"{where}{failure.strerror or failure}")
        return errors.USAGE_ERROR
    except Exception as failure:  # noqa: BLE001 - whatever it is, a user sees one line
        say(f"internal error: {type(failure).__name__}: {failure}; --debug shows where")
        return errors.INTERNAL_ERROR


def _check_working_folder() -> None:
    """Launchers and other programs say nothing that helps where it is gone."""
    try:
        Path.cwd()
    except FileNotFoundError:
        problem = errors.Problem(
            "the working folder was deleted", remedy="change to one that is there, e.g. cd"
        )
        raise errors.UserError(problem) from None


def _in_one_line(failure: click.ClickException) -> str:
    """What click has to say, and where to read on."""
    text = " ".join(failure.format_message().split())
    context = failure.ctx if isinstance(failure, click.UsageError) else None
    return f"{text} See `{context.command_path} --help`" if context else text


if __name__ == "__main__":
    main()
