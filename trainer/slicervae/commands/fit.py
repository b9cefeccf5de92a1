"""Train a recipe on a folder of patients (DICOM, NIfTI, NRRD or MetaImage).

Ctrl-C stops at the next step and keeps everything; the same command with --resume goes on, with the same result as if
it had never stopped. Several devices or machines: 'torchrun --nproc-per-node 4 -m slicervae fit …'. The run folder
holds metrics.csv and logs for TensorBoard."""

import argparse
import dataclasses
import sys
from pathlib import Path

from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe; 'slicervae recipes' lists them")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of patients, or dicomweb+http://…/studies/UID; needed but with --resume or --start-from",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run, new or to resume")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="RUN",
        help="begin with the best weights of another run, on its network, images and split, in place of --data",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="key=value",
        dest="changes",
        help="change a setting of the recipe, such as size=128 or data.include='*FLAIR*'; may be repeated",
    )
    parser.add_argument("--max-epochs", type=int, metavar="N", help="end after N epochs instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order, noise and split")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for prepared images, which runs share (default: $SLICERVAE_CACHE, or this user's cache folder)",
    )
    add_device(parser)
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="auto is float32; the others compute faster on a GPU that has them",
    )
    parser.add_argument("--compile", action="store_true", help="compile the network first (needs a C++ compiler)")


def run(options: argparse.Namespace) -> None:
    """Train, or go on training."""
    from ..processes import leave

    try:
        _train(options)
    finally:
        leave()


def _train(options: argparse.Namespace) -> None:
    from SlicerVAELib.core.errors import UserError

    from ..console import cancel_on_interrupt, progress_bar
    from ..data.cache import LARGE_BYTES, Cache
    from ..processes import process_rank
    from ..recipe import load_recipe
    from ..training.fit import fit, resume
    from ..training.run_folder import RunFolder
    from ..training.start import recipe_on

    changes = list(options.changes)
    if options.max_epochs is not None:
        changes.append(f"training.epochs={options.max_epochs}")
    data = options.data
    if options.start_from is None:
        recipe = load_recipe(options.recipe, changes)
    elif options.resume:
        raise UserError("A resumed run has begun already; leave out --start-from or --resume.")
    elif data is not None:
        raise UserError(f"The data are those of {options.start_from}; leave out --data or --start-from.")
    else:
        recipe = recipe_on(options.start_from, options.recipe, changes)
        data = RunFolder(options.start_from).record().data
    hardware = dataclasses.replace(hardware_of(options), precision=options.precision)
    again = f"slicervae fit {options.recipe} --out {options.out} --resume{_place_in_words(options)}"
    with (
        progress_bar(f"Training {recipe.name}") as listener,
        cancel_on_interrupt(f"Stopped; '{again}' goes on.") as cancel,
    ):
        if options.resume:
            folder = RunFolder(options.out)
            if folder.exists and folder.recipe().name != recipe.name:
                raise UserError(
                    f"{options.out} is a run of {folder.recipe().name}, not of {recipe.name}; name that one."
                )
            if options.changes:
                raise UserError("A resumed run keeps its settings; leave out --set, or begin a new run.")
            state = resume(
                options.out,
                epochs=options.max_epochs,
                hardware=hardware,
                compiled=options.compile,
                cache=options.cache,
                listener=listener,
                cancel=cancel,
            )
        else:
            if data is None:
                raise UserError("A new run needs --data DIR, the folder of patients.")
            state = fit(
                recipe,
                data,
                options.out,
                start=options.start_from,
                seed=options.seed,
                hardware=hardware,
                compiled=options.compile,
                cache=options.cache,
                listener=listener,
                cancel=cancel,
            )
    if process_rank() > 0:
        return
    for notice in RunFolder(options.out).record().notices:
        sys.stderr.write(f"Note: {notice}\n")
    cache = Cache(options.cache)
    if cache.bytes_used() > LARGE_BYTES:
        sys.stderr.write(
            f"Note: the cache of prepared images, {cache.folder}, holds {cache.bytes_used() / 1e9:.0f} GB; it can be "
            "deleted whenever nothing trains, and fills again.\n"
        )
    last = state.rows[-1]
    validation = f", {last['validation_mse']:.5f} in validation" if "validation_mse" in last else ""
    sys.stdout.write(
        f"Trained {recipe.name} for {last['epoch']:.0f} epochs; mean squared error {last['train_mse']:.5f} in training"
        f"{validation}.\n"
        f"Next: slicervae export {options.out} --out BUNDLE\n"
    )


def _place_in_words(options: argparse.Namespace) -> str:
    """The options that a run doesn't keep, as they were given."""
    given = {"--cache": options.cache, "--device": None if options.device == "auto" else options.device}
    words = [f" {name} {value}" for name, value in given.items() if value is not None]
    return "".join([*words, *([" --compile"] if options.compile else [])])
