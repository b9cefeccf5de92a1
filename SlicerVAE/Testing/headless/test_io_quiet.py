"""What libraries say to themselves stays off the terminal, and the terminal works again afterwards."""

import os
import threading
import warnings

import SimpleITK as sitk

from SlicerVAELib.io.quiet import quiet


def test_everything_written_within_is_swallowed_and_nothing_after(capfd):
    with quiet():
        os.write(2, b"from C\n")
        warnings.warn("from a library", stacklevel=1)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_blocks_that_overlap_between_threads_bring_everything_back(capfd):
    shown, filters = sitk.ProcessObject.GetGlobalWarningDisplay(), list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with quiet():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with quiet():
            second_in.set()
            first_out.wait(10)
            os.write(2, b"still quiet\n")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == shown and warnings.filters == filters


def test_an_exception_passes_and_the_terminal_works_again(capfd):
    try:
        with quiet():
            raise ValueError("seen")
    except ValueError:
        os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
