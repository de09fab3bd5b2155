"""What importing the widgets does to warnings."""

import subprocess
import sys

THREADS = """
import sys, threading
import grokbook.widgets
import numpy as np, xarray as xr
empty = xr.DataArray(np.full((40, 50), np.nan), dims=("cell", "step"))
def reduce():
    for _ in range(400):
        empty.max("step"), empty.mean("step"), empty.std("step")
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=reduce) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_cells_that_were_not_trained_are_averaged_on_threads_without_a_word():
    """Without the filters of `grokbook.widgets` a second of this prints tens of warnings."""
    done = subprocess.run([sys.executable, "-W", "always", "-c", THREADS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
