"""``python -m mdibench``: the command line with its exit statuses, and no traceback for users.

The standard streams are adapted first: a run must not end after measuring because the shell
closed one, or because its encoding lacks a Greek letter, which is then written in plain letters.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

import click

from mdibench import errors
from mdibench.cli import cli
from mdibench.errors import say

HANDLER = "mdibench-plain"
_PLAIN = {
    "α": "alpha", "β": "beta", "γ": "gamma", "Γ": "Gamma", "ζ": "zeta", "μ": "mu", "µ": "u",
    "τ": "tau", "σ": "sigma", "λ": "lambda", "ρ": "rho", "Δ": "Delta",
    "→": "->", "←": "<-", "↔": "<->", "↑": "^", "↓": "v", "▲": "^", "▼": "v",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+-", "×": "x", "∞": "inf", "−": "-",
    "–": "-", "—": "-", "…": "...", "·": ".", "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'",
    "│": "|", "┃": "|", "║": "|", "─": "-", "━": "-", "═": "=", "✓": "ok", "✔": "ok", "✗": "x",
    "²": "2", "³": "3", "½": "1/2", "°": " deg",
}  # fmt: skip
_BOX = range(0x2500, 0x2580)
_BLOCKS = range(0x2580, 0x25A0)


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
        sys.stderr.write("\n")  # after the question that Ctrl-C left open
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
        if errors.interruption(failure) is not None:
            return errors.INTERRUPTED
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


def adapt_streams() -> None:
    """Let stdout and stderr take any text. Called once, before anything is written."""
    if sys.stdin is None:  # closed by the shell: <&-
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it stays open
        os.set_inheritable(sys.stdin.fileno(), True)
    codecs.register_error(HANDLER, _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _plainly(failure: UnicodeError) -> tuple[str, int]:
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    wrong = failure.object[failure.start : failure.end]
    return "".join(map(_plain_sign, wrong)), failure.end


def _plain_sign(sign: str) -> str:
    if sign in _PLAIN:
        return _PLAIN[sign]
    code = ord(sign)
    return "+" if code in _BOX else "#" if code in _BLOCKS else "?"


if __name__ == "__main__":
    main()
