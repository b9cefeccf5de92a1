"""Several processes, accumulated parts and one process with the whole batch see the same training."""

import csv
import os
import socket
import subprocess
import sys

import pytest

# Without batch norm, whose statistics are each process's own, and with a fixed variance.
RECIPE = ("rtvae2d", "size=64", "filters=4", "latent=3", "noise=fixed", "noise_variance=0.02", "epochs=3")
RECIPE = (*RECIPE, "batch_size=8", "schedule=constant", "learning_rate=0.001", "keep=1.0")
RECIPE = (*RECIPE, "intensity=auto", "lower=auto", "upper=auto")


def command(cohort, run, *more):
    name, *settings = RECIPE
    words = [word for setting in (*settings, *more) for word in ("--set", setting)]
    return ["-m", "slicervae", "fit", name, "--data", str(cohort), "--out", str(run), "--seed", "3", *words]


def train(words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def rows_of(run):
    return [
        {name: float(value) for name, value in row.items() if value}
        for row in csv.DictReader((run / "metrics.csv").read_text().splitlines())
    ]


def two_processes():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    return ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]


def assert_same_curve(rows, others):
    assert len(rows) == len(others) == 3
    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, rel=2e-4)


@pytest.fixture(scope="module")
def one_process(mr_cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("one") / "run"
    train(command(mr_cohort, run))
    rows = rows_of(run)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    return rows


def test_two_processes_on_gloo_train_as_one_with_the_whole_batch(mr_cohort, one_process, tmp_path):
    done = train([*two_processes(), *command(mr_cohort, tmp_path / "run")])
    assert_same_curve(rows_of(tmp_path / "run"), one_process)
    assert done.stdout.count("Trained rtvae2d") == 1


def test_the_optimal_variance_is_that_of_the_whole_batch(mr_cohort, tmp_path):
    train(command(mr_cohort, tmp_path / "one", "noise=optimal"))
    train([*two_processes(), *command(mr_cohort, tmp_path / "two", "noise=optimal")])
    assert_same_curve(rows_of(tmp_path / "two"), rows_of(tmp_path / "one"))


def test_encoder_and_generator_of_introvae_train_on_two_processes(mr_cohort, tmp_path):
    settings = ("size=64", "latent=8", "batch_size=8", "epochs=2", "warm_up_epochs=1")
    words = [word for setting in settings for word in ("--set", setting)]
    fit = ["-m", "slicervae", "fit", "introvae50", "--data", str(mr_cohort), "--out", str(tmp_path / "run"), *words]
    train([*two_processes(), *fit])
    plain, introspective = rows_of(tmp_path / "run")
    assert "train_kl_sampled" not in plain
    assert introspective["train_kl_sampled"] > 0
    assert introspective["train_generator_kl_sampled"] > 0
    assert introspective["train_mse"] < plain["train_mse"]


def test_accumulated_parts_train_as_the_whole_batch(mr_cohort, one_process, tmp_path):
    train(command(mr_cohort, tmp_path / "run", "accumulate=4"))
    assert_same_curve(rows_of(tmp_path / "run"), one_process)


def test_bad_input_to_two_processes_is_told_once(mr_cohort, tmp_path):
    words = [*two_processes(), *command(mr_cohort, tmp_path / "run", "data.include=*nothing*")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stderr.count("slicervae: ") == 1
    assert not (tmp_path / "run").exists()
