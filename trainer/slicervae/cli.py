"""The console script ``slicervae``: finds the command, runs it, and turns what went wrong into one sentence.

Exit codes: 0 done; 1 something a person can mend; 2 the words of the command line are off; 130 stopped by Ctrl-C.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from SlicerVAELib.core.errors import Cancelled, UserError, nearest
from SlicerVAELib.core.threads import wait_politely

from . import __version__

COMMANDS = {
    "recipes": "list the models that can be trained",
    "phantom": "write a cohort of procedural patients as real DICOM",
    "inspect": "list what a folder of patients holds, before training",
    "dose": "dose to the structures of a planned patient",
    "fit": "train a recipe on a folder of patients",
    "export": "make a model bundle of a finished run",
    "calibrate": "make anomaly maps tell how unusual something is, from healthy patients",
    "reconstruct": "reconstruct a volume and map what the model can't explain",
    "evaluate": "measure how good models are, and draw what they learned",
    "fit-prior": "learn where a model's latents lie, so that its samples look like anatomy",
    "describe-latents": "find out what each latent of a model does, and name it",
    "evaluate-anomaly": "measure how well anomaly maps find what is there",
    "sample": "draw synthetic slices from a model",
    "to-dicom": "write maps, reconstructions or samples as DICOM",
    "library": "keep treated patients, and find those who are most like a new one",
    "demo": "the whole job from nothing to a report, in a few minutes",
    "benchmark": "measure speed and write down the figures",
}


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints are one sentence, without the whole usage in front."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"slicervae: {message}; see '{self.prog} --help'.\n")


def _parser_of(command: str) -> argparse.ArgumentParser:
    # A command's file is imported only when it is called, and its heavy imports only when it runs: --help stays quick.
    module = importlib.import_module(f".commands.{command.replace('-', '_')}", __package__)
    parser = _Parser(prog=f"slicervae {command}", description=module.__doc__, formatter_class=_HelpFormatter)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as written, options with those defaults that tell a person something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, float):
            return f"{action.help} (default: {action.default:.3g})"
        if action.default is None or action.default is False or action.default in ("", []):
            return action.help
        return super()._get_help_string(action)


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    listing = "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items())
    parser = _Parser(
        prog="slicervae",
        description="Train and use variational autoencoders on medical volumes.",
        epilog=f"commands:\n{listing}\n\n'slicervae COMMAND --help' tells the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slicervae {__version__}")
    parser.add_argument("command", help="what to do, see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the command takes")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (``sys.argv`` when None) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        words = ["--help"]
    chosen = _top_parser().parse_args(words)
    wait_politely()
    try:
        if chosen.command not in COMMANDS:
            raise UserError(f"there is no command '{chosen.command}'; {nearest(chosen.command, COMMANDS)}")
        options = _parser_of(chosen.command).parse_args(chosen.arguments)
        return int(options.run(options) or 0)
    except UserError as error:
        sys.stderr.write(f"slicervae: {error}\n")
        return 1
    except (KeyboardInterrupt, Cancelled) as stop:
        sys.stderr.write(f"slicervae: {str(stop) or 'Stopped.'}\n")
        return 130
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
