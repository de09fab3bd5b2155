"""A small chapter to try the machinery of the book on: its parts are what a real chapter has."""

SAMPLE = r'''
# %% [markdown]
# # A sample
#
# The sum of $k$ for $k = 1 \dots n$ is *quadratic*. There is more.
#
# Read [the next](08_next.ipynb#here) or [nothing](09_missing.ipynb).

# %% tags=["parameters"]
n: int = 5  # how many terms; n = 7 stops the chapter
scale: float = 1.0  # factor on the sum
word: str = "sum"  # what it is called
loud: bool = False  # whether to shout

# %%
import os
import sys
import warnings
from pathlib import Path

import ipywidgets
import plotly.graph_objects as go
from grokbook import RunConfig

config = RunConfig(n_steps=n)

# %%
Path("ran_in").write_text(sys.prefix)
print(word, scale * n * (n + 1) / 2)
print(os.getcwd(), Path.home() / "x")
warnings.warn("careful")

# %%
ipywidgets.IntSlider()

# %%
go.Figure(go.Scatter(y=[k * k for k in range(n)], name="</script>"), {"height": 321})

# %%
print(1 / (n - 7))
'''.lstrip()
