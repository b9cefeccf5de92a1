"""A volume is not copied more often than its way through the model needs."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
    import sys
    sys.path[:0] = {path!r}
    import numpy as np, torch
    from pathlib import Path
    from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
    from SlicerVAELib.core.stack import prepare
    from SlicerVAELib.core.volume import Modality, Volume
    from Testing.headless.twins import grid, rotation

    def peak_above(work):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        status = lambda name: int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024
        before = status("VmRSS")
        result = work()
        return result, status("VmHWM") - before

    def there_and_back(shape):
        array = np.full(shape, 40, np.int16)
        volume = Volume(array, grid(shape, (0.9, 0.9, 3.0), {turn}), Modality.CT)
        preprocessing = Preprocessing(HounsfieldWindow(), 256, 1.5)
        stack, preparing = peak_above(lambda: prepare(volume, preprocessing))
        _, returning = peak_above(lambda: stack.to_source(stack.pixels[:, 0], fill=0.0))
        return preparing / (array.size * 4), returning / (array.size * 4)

    there_and_back((2, 64, 64))
    print(*there_and_back((100, 400, 400)))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is measured as Linux gives it")
@pytest.mark.parametrize(
    ("turn", "copies"), [("None", 1.8), ("rotation((0.2, 1, 0.4), 10)", 3.5)], ids=["straight", "oblique"]
)
def test_preparing_and_returning_take_few_copies_of_the_volume(turn, copies):
    """Measured in the volume's size as float32: a straight one goes in slabs, an oblique one is copied whole."""
    script = textwrap.dedent(SCRIPT.format(path=sys.path, turn=turn))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    preparing, returning = map(float, done.stdout.split())
    assert preparing < copies
    assert returning < copies
