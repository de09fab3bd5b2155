# %% [markdown]
# # Explore
#
# Every coloured cell of this map is a few networks that were really trained: `d_h` is their size, `D_train` the number
# of pairs they were shown. Click on a cell, or move the sliders, and see what they did. Nothing trains while you look;
# **Train this** trains exactly that network here and now, and its curves grow over the stored ones.
#
# **Contents:** [01 Grokking](01_grokking.ipynb) · [02 Memorization capacity](02_memorization_capacity.ipynb) ·
# [03 Four zones](03_four_zones.ipynb) · [04 Double descent](04_double_descent.ipynb) ·
# [05 Emergence](05_emergence.ipynb) · [06 One model for two curves](06_pattern_model.ipynb) ·
# [07 Grokking along the size](07_model_wise_grokking.ipynb) · [08 Other networks](08_other_networks.ipynb) ·
# [09 Efficiency](09_efficiency.ipynb) · [10 The general circuit](10_general_circuit.ipynb) ·
# [11 The scorecard](11_scorecard.ipynb)
#
# The book's words are in the [glossary](glossary.md), what it cites in the [bibliography](bibliography.md).

# %% tags=["parameters"]
d_h: int = 64  # hidden size of the cell to start at
D_train: int = 5000  # its training pairs
seed: int = 1  # the run drawn thick
budget: int = 40_000  # steps after which all is judged

# %% tags=["nbval-check-output"]
import grokbook as gb

explorer = gb.widgets.Explorer(d_h=d_h, D_train=D_train, seed=seed, budget=budget)
explorer

# %% [markdown]
# **What to try.** Click on cells of each colour; those that are crossed out know neither all of their own pairs nor any
# other. Where seeds disagree, a cell says how many are in the zone that it shows, and is green where no single zone is
# ahead: move *seed*. Then move *budget* to the left: red cells that turn blue later are only slow. The black line,
# $D_{crit}$, is where validation accuracy passes one half; the violet one, $D_{mem}$, how much a network of that size
# can know by heart. `explorer.selection` holds the runs behind the curves.
#
# *Rows of the map* changes to another map, on which additions stand beside random pairs
# ([chapter 05](05_emergence.ipynb)): how many of these a row has, `D_random`, takes the place of `D_train`.
#
# The last figure is the row of the map in which the cell stands: keep the pairs and let the network grow.
# Where the walk crosses from grey through red to blue, accuracy on new pairs should rise, fall, and rise again: *double
# descent*. How much of it there is in these rows is the subject of [chapter 04](04_double_descent.ipynb). Move
# `D_train` to see other rows.
#
# Why there are four zones is told in [chapter 03](03_four_zones.ipynb), and from the start in
# [chapter 01](01_grokking.ipynb).
#
# [01 Grokking →](01_grokking.ipynb)
