# %% [markdown]
# # Four zones
#
# Chapter 01 found a critical size of the training set, chapter 02 a capacity of memory. Both depend on `d_h`; on one
# map they part zones in which training goes differently. Huang et al. (2024) sketch it, this chapter measures it.
#
# **The question:** given the size of a network and the number of training pairs, what will happen?
#
# [← 02 Memorization capacity](02_memorization_capacity.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [04 Double descent →](04_double_descent.ipynb)

# %% [markdown]
# ## Four ways to go
#
# Two questions decide:
#
# | zone | knew all training pairs before it understood? | knows validation pairs in the end? |
# |---|---|---|
# | **progression** | no: too small, or it understood on the way | none, some or all |
# | **ungrokking** | yes | none |
# | **semi-grokking** | yes | some, and no more for half of the training |
# | **grokking** | yes | all |
#
# A run that ends in mid-leap is *still moving*; progression that knows neither all of its pairs nor any other is
# crossed out on maps.
#
# <details><summary>Where the lines are drawn</summary>
#
# *All*: accuracy 0.99. *None*: twin-free accuracy of at most 0.05. *On the way*: twin-free accuracy one half by the
# step at which the training pairs are known.
#
# </details>

# %% tags=["parameters"]
d_h: int = 32  # hidden size of the live network
D_train: int = 2600  # training pairs of the live network
seed: int = 2  # seed of its initial weights and of its split
n_steps: int = 2_000  # steps of the live training
budget: int = 40_000  # steps after which the stored runs of the usual recipe are judged

# %%
import pandas as pd

import grokbook as gb

config = gb.RunConfig(d_h=d_h, D_train=D_train, seed=seed, n_steps=n_steps)

# %%
larger = gb.load("larger_weights")
gb.plots.grokking_panels(larger, cells=[(8, 3000), (32, 2200), (32, 3200), (64, 3000)], rows=["accuracy"], seed=4,
                         names=["progression", "ungrokking", "semi-grokking", "grokking"])

# %% [markdown]
# The semi-grokked network gets no further than 96 % of the validation pairs; its two sisters (thin) grok. Train one,
# and ask what became of it:

# %%
live = gb.widgets.LiveRun(config)
live

# %%
from IPython.display import Markdown

told = "Nothing has been trained yet: press **Start** above, and run this cell again."
if live.runs:
    outcome = gb.analysis.outcomes(live.result()).squeeze(("d_h", "D_train"))
    told = gb.analysis.describe(outcome, int(outcome["seed"][0]))
Markdown(told)

# %% [markdown]
# ## Which recipe?
#
# The paper names a cell for each zone, but not its learning rate, weight decay, initial weights or number of steps.
# With the field's usual settings, after 100,000 steps:

# %% tags=["nbval-check-output"]
gb.claims.judge("four-dynamics")

# %% [markdown]
# Which were the paper's? Each row is a suspect, each column a statement of the witness, Figures 2 and 5, written down
# with the seeds before any of these networks was trained.

# %%
gb.plots.recipe_filter(gb.analysis.filtered_recipes(30_000), n_steps=30_000)

# %% [markdown]
# None gives all six within 30,000 steps. Weight decay 0.3 gives five: at (8, 3000) two of its five networks learn all
# pairs, and the paper's do not. The book's recipe gives two. At (64, 3000) all fourteen of these networks with larger
# weights *and* a learning rate above 0.001 understand, none of six with one of the two.
#
# **The book trains live with weights × 2 and a learning rate of 0.003**, not because the filter says so: within 30,000
# steps its maps settle or nearly so, with critical sizes some 100 (`d_h` 64) and 1,000 (32) pairs below the paper's.
# Not tried: biases, learning rates below 0.001 with larger weights, batches for more than these 5,000 epochs.
#
# So the nearest suspect, weight decay 0.3, was asked for the other figures, in fresh seeds. Figure 3 has `d_h` 64 near
# perfect at 3,000 pairs and 32 at 4,000 (diamonds):

# %%
weak = gb.load("weak_decay")
columns = {"usual recipe": gb.load("critical_size", budget).sel(d_h=[32, 64]),
           "weights × 2, lr 0.003": larger.sel(d_h=[32, 64]), "and decay 0.3": weak.sel(task="add", d_h=[32, 64])}
gb.plots.final_accuracy(columns["and decay 0.3"], paper=gb.claims.PERFECT_FROM)

# %% tags=["nbval-check-output"]
from grokbook.analysis.sizes import critical_difference

for name, cells in columns.items():
    apart = critical_difference(cells, 32, 64)
    sizes = gb.analysis.critical_size(cells).set_index("d_h")["D_crit"]
    print(f"{name:22} D_crit {sizes[32]:,.0f} and {sizes[64]:,.0f}, "
          f"difference {apart['mean']:,.0f} [{apart['lo']:,.0f}, {apart['hi']:,.0f}]")

# %% [markdown]
# Of these three it comes nearest to the paper's some 3,500 and 2,500 (our reading). But five seeds leave open whether
# there is a difference. And Figures 6 and 7, a valley over `d_h` at 2,600 pairs and a deeper one of $(a + b)^2$ at
# 3,000?

# %% tags=["nbval-check-output"]
rows = {"a + b": weak.sel(task="add", D_train=[2600]), "(a + b)²": weak.sel(task="square", D_train=[3000])}
pd.concat({task: gb.analysis.double_descent(row) for task, row in rows.items()}).droplevel(1).round(3)

# %% [markdown]
# Neither beyond noise: up to 48 no network understands at 2,600 pairs (means 0.01 to 0.06), at 64 one of five does; and
# the valley of $(a + b)^2$ is one that three seeds make by chance.

# %% tags=["nbval-check-output"]
gb.claims.judge("recipe-robust")

# %% [markdown]
# ## The map
#
# First your own: in the row of 3,400 pairs, where does each size end?

# %%
maps, random = gb.load("zone_map", budget), gb.load("capacity")
gb.widgets.Guess(gb.analysis.zones(maps.sel(D_train=3400)), "In which zone does a network of each size end?")

# %% [markdown]
# A cell has the colour of what its seeds did most often; click on one to read why. The usual recipe, after 40,000
# steps:

# %%
gb.widgets.Explorer(maps, random, d_h=24, D_train=4000, budget=budget)

# %% [markdown]
# The book's recipe, after 30,000:

# %%
gb.plots.zone_map(larger, random)

# %% [markdown]
# Left of $D_{mem}$ a network is shown more than it can hold: progression. Right of it and below $D_{crit}$ it holds all
# pairs and nothing else: ungrokking, though nothing was grokked yet. Above, it holds them all and then understands.
#
# The paper's sketch has this crossing, but also a falling $D_{crit}$ and land for semi-grokking. Here mean accuracy
# rises over some 400 to 900 pairs, not 1,000, and hardly a run stops halfway.

# %% tags=["nbval-check-output"]
gb.claims.judge("zone-map")

# %% tags=["nbval-check-output"]
gb.claims.judge("semi-grokking")

# %% [markdown]
# ## Where memory ends
#
# Chapter 02 measured `D_mem` on *all* pairs, where most labels count twice, for $(a, b)$ and $(b, a)$. Of a random
# split a network can know fewer, `D_split`: the violet line of the maps. Which tells better who remembers?

# %% tags=["nbval-check-output"]
capacity = gb.analysis.capacity(random)
for line in ("D_mem", "D_split"):
    right, wrong = gb.analysis.border_errors(maps, capacity, line)
    print(f"{line:8} right about {right} of {right + wrong} runs that did not generalise")
capacity[["d_h", "n", "D_mem", "D_split", "D_split_lo", "D_split_hi"]].round(0)

# %% [markdown]
# Well left of the line the *training* loss itself asks for understanding. Seeds differ:

# %%
four = gb.load("four_dynamics")
gb.plots.seed_panels(four, d_h=8, D_train=3000)

# %% tags=["nbval-check-output"]
gb.claims.judge("progression-varies")

# %% [markdown]
# ## What drives a network to understand?
#
# In grokking, weight decay, by the papers: the rule takes less weight than the pairs, so the norm *falls*. In
# progression, the loss: to answer more takes more weight, so it *rises*.

# %%
gb.plots.grokking_panels(maps, cells=[(8, 3000), (64, 4000)], rows=("accuracy", "norm"),
                         names=["progression", "grokking"])

# %% tags=["nbval-check-output"]
gb.claims.judge("norm-falls-or-rises")

# %% [markdown]
# ## Is the map finished?
#
# Stopped sooner, the columns of `d_h` 32 and 64 would have shown these critical sizes:

# %%
gb.plots.critical_by_budget(columns, (2_500, 5_000, 10_000, 20_000, 30_000, 40_000), paper={32: 3500, 64: 2500})

# %% [markdown]
# In the book's recipe `d_h` 64 needs more pairs than 32 early on, later as few or fewer, so which way $D_{crit}$ goes
# is a matter of patience too; with decay 0.3 it is slightly behind up to 5,000 steps, by mean accuracy at 3,600 and
# 4,000 pairs, and ahead from 10,000 on. No number of steps comes nearer than this to the 3,500 and 2,500 pairs of the
# paper (half-way up its rise, by our reading):

# %% tags=["nbval-check-output"]
for name, runs in columns.items():
    near = gb.analysis.nearest_budget(runs, range(2_500, 40_001, 2_500), {32: 3500, 64: 2500})
    print(f"{name}: nearest after {near['n_steps']:,.0f} steps, off by {near['off']:,.0f}")

# %% tags=["nbval-check-output"]
gb.claims.judge("time-axis")

# %% [markdown]
# The map of the usual recipe, stopped sooner. A border that still moves parts fast from slow, not zones.

# %%
gb.plots.atlas(maps, budgets=[budget // 8, budget // 4, budget // 2, budget])

# %% [markdown]
# ## Try it yourself
#
# **1.** In the cell (8, 3000), what is the mean final twin-free validation accuracy of the stored seeds?

# %% tags=["nbval-check-output"]
answer = None  # a fraction between 0 and 1
gb.exercises.check("progression", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = gb.analysis.final(four, "twin_free_val_acc").sel(d_h=8, D_train=3000).mean()`
# </details>
#
# **2.** If *none* meant at most 0.003 rather than 0.05, how many of the stored runs of the four cells would still be
# called ungrokking?

# %% tags=["nbval-check-output"]
answer = None  # a number of runs
gb.exercises.check("threshold", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = (gb.analysis.zones(four, negligible=0.003) == "UNGROKKING").sum()`
# </details>
#
# **Further:** `grokbook rerun 03 --set d_h=32,48 --set D_train=2600,3400` runs this chapter over a grid.

# %% [markdown]
# ## What is still open here
#
# - The paper's own recipe has not been found: the nearest, weight decay 0.3, has 500 pairs between the critical sizes
#   of `d_h` 32 and 64, not 1,000, and no valleys.
# - Where seeds disagree, is the zone luck or patience? At (64, 3000) in the usual recipe it was patience for two of
#   five seeds after 40,000 steps.
#
# [← 02 Memorization capacity](02_memorization_capacity.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [04 Double descent →](04_double_descent.ipynb)
