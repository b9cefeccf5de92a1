"""The options of every command that makes an anomaly map."""

import argparse
import typing

if typing.TYPE_CHECKING:
    from SlicerVAELib.core.engine import AnomalyOptions


def add_anomaly(parser: argparse.ArgumentParser) -> None:
    """Add --anomaly and what is done to the map."""
    parser.add_argument(
        "--anomaly",
        default="auto",
        metavar="NAME",
        help="absolute-residual, signed-residual, structural-residual, gradient-elbo, gradient-kl, gradient-rec, "
        "combined, reconstruction-probability, code-surprise or restoration (slow); auto is the one that the model is "
        "calibrated for, else absolute-residual",
    )
    parser.add_argument("--uncalibrated", action="store_true", help="leave the model's calibration out of the map")
    parser.add_argument(
        "--smoothing", type=float, metavar="MM", help="σ that smooths the anomaly map (default: as calibrated, else 2)"
    )
    parser.add_argument(
        "--body-erosion",
        type=float,
        metavar="MM",
        help="look only inside the body, at least this far under its surface",
    )
    parser.add_argument(
        "--region-threshold",
        type=float,
        default=3.0,
        metavar="X",
        help="value, in the map's unit, beyond which a region counts for --minimum-region",
    )
    parser.add_argument(
        "--minimum-region", type=float, default=0.0, metavar="CM3", help="bring smaller regions back to that threshold"
    )


def anomaly_of(options: argparse.Namespace) -> "AnomalyOptions":
    """What those options ask for."""
    from SlicerVAELib.core.engine import AnomalyOptions

    return AnomalyOptions(
        method=options.anomaly,
        calibrated=not options.uncalibrated,
        smoothing_mm=options.smoothing,
        body_erosion_mm=options.body_erosion,
        region_threshold=options.region_threshold,
        minimum_region_cm3=options.minimum_region,
    )
