"""The options of every command that computes with a network."""

import argparse
import typing

if typing.TYPE_CHECKING:
    from SlicerVAELib.core.engine import Hardware


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")


def hardware_of(options: argparse.Namespace) -> "Hardware":
    """What those options ask for."""
    from SlicerVAELib.core.engine import Hardware

    return Hardware(device=options.device)
