# %% [markdown]
# # One model for two curves
#
# In grokking, test accuracy waits and then rises. In *double descent* it rises, falls and rises again. Davies, Langosco
# and Krueger (2022) say that these are one thing seen twice: a race between ways of being right that are learnt at
# different speeds. They write the race down in two equations, small enough to hold in your hand.
#
# **The question:** can one model give both curves, and what must change to get from one to the other?
#
# [← 05 Emergence](05_emergence.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [07 Grokking along the size →](07_model_wise_grokking.ipynb)

# %% [markdown]
# ## Patterns
#
# Forget weights and neurons. A network in training is a set of **patterns**. Pattern $i$ is right on a training example
# with a probability that grows along a sigmoid,
#
# $$p_i(t) = \frac{\gamma_i}{1 + e^{-\alpha_i (t - b_i)}},$$
#
# where $\gamma$ says how much it covers in the end, $\alpha$ how fast it comes, and $b$ when. A training example is
# right if *any* pattern has it:
#
# $$\mathrm{acc}_\mathrm{train}(t) = 1 - \prod_i \bigl(1 - p_i(t)\bigr).$$
#
# On new examples a pattern is right only with probability $g_i$: 0 for pure memory, 1 for a rule. Where several
# patterns cover an example, the network uses each equally often. So test accuracy sums over every subset $A$ of the
# patterns, with the probability $P_A$ that exactly these cover an example, and the mean $G(A)$ of their $g$:
#
# $$\mathrm{acc}_\mathrm{test}(t) = \sum_A P_A(t)\, G(A).$$
#
# One pattern may be **preferred**: where it covers an example, it alone answers. That is how the model says that
# training favours something in the end, as weight decay does. Where no pattern covers an example the paper leaves $G$
# open; here such an example is wrong.

# %% tags=["parameters"]
d_h: int = 64  # hidden size of the measured run that the model is fitted to
D_train: int = 4000  # its training pairs
seed: int = 0  # its seed
n_patterns: int = 3  # patterns in that fit
clock: str = "linear"  # time of the fit: linear, the step, or log, its logarithm

# %% [markdown]
# ## Move it
#
# The next cell is the model. It starts in double descent; drag *morph* to the right and watch it turn into grokking.
# Then take any slider. The sentence says what the curves show. Where it runs, a map beside or below has the $\gamma$ of
# the first and of the last pattern, the two that the morph moves; the ring is where you are, and can be dragged.

# %%
import grokbook as gb

gb.widgets.PatternExplorer()

# %% [markdown]
# ## Three types
#
# The paper needs three patterns. A **heuristic** is fast and general: a shortcut that works on some examples.
# **Overfitting** comes a little later, covers everything, and is worth nothing on new examples. The **slow** pattern
# generalises, comes late, and is preferred.

# %%
patterns = gb.analysis.patterns
figure_2 = {"double descent": patterns.DOUBLE_DESCENT, "grokking": patterns.GROKKING}
gb.plots.pattern_curves(figure_2, names=patterns.TYPES)

# %% [markdown]
# On the left the heuristic is on its way to 70 % of the examples when overfitting arrives. Soon memory covers all of
# them too, answers half of the time, and wrongly: test accuracy falls to half of 0.7. The slow
# pattern lifts it later. On the right there is no heuristic, so there is nothing to lose, and the slow pattern covers
# everything. Speeds and times are the same on both sides. Only two heights changed.

# %% [markdown]
# ## What preference does
#
# Two patterns are enough to see it. Draw all examples as a square. Pattern 1 covers a strip on the left, pattern 2 one
# at the bottom, and since they are independent they overlap in a rectangle.

# %%
gb.plots.two_pattern_squares()

# %% [markdown]
# In the overlap the two share the work and test accuracy is the mean of their $g$, unless one is preferred. The paper's
# appendix has another picture of it: each pattern has a *domain*, a test example is given to one of the domains that
# hold it, and a preferred domain overlaps with no other. If it takes the shared examples out of the others, that is the
# same as Eq 2. Over time:

# %%
two = {name: preset for name, preset in patterns.PRESETS.items() if name.startswith("two")}
gb.plots.pattern_curves(two)

# %% [markdown]
# ## From one to the other
#
# The paper goes from double descent to grokking by lowering the heuristic ($\gamma_1$) and raising the slow pattern
# ($\gamma_3$). There is more than one way to go. Each line below is a stop on the way, coloured by what it shows.

# %%
gb.plots.pattern_morph()

# %% [markdown]
# On all three ways the bump shrinks with $\gamma_1$, the end rises with $\gamma_3$, and neither needs the other. In
# between lies a stretch that is *neither*, long on the second way and hardly there on the third: the bump is too small
# to count, and the end is not yet high enough. The same three ways on the map of all heights:

# %%
gb.plots.pattern_map(paths=patterns.PATHS)

# %% [markdown]
# Grokking, in the strict sense of *first nothing, then nearly everything*, is a small corner: almost no heuristic, and
# a slow pattern that covers nearly all. Double descent is most of the map. The borders depend on what one calls a dip
# and what one calls near chance, so let us move both. Shares of the map, on half as fine a grid, with the book's own
# choice in the middle row:

# %% tags=["nbval-check-output"]
import numpy as np
import pandas as pd

kinds = gb.analysis.kinds
shares = {(dip, low): np.bincount(kinds.kind_map(dip=dip, low=low).ravel(), minlength=4) / 41**2
          for dip in (0.02, 0.05, 0.1) for low in (0.05, 0.1, 0.2)}
pd.DataFrame(shares, index=kinds.KINDS).T.rename_axis(["least dip", "near chance up to"]).round(3)

# %% [markdown]
# Double descent takes between half and nearly nine tenths of the map, grokking never more than a twentieth. *Both*
# exists only where a small bump counts as a dip and a small accuracy still as chance. So the model holds both curves,
# but they are neighbours with a border rather than one curve seen twice. Where the border lies is up to whoever draws
# it.

# %% [markdown]
# ## Does a real network do this?
#
# The paper compares shapes by eye. We can do more: take a run that was really trained and look for the patterns that
# fit its curves best, by least squares. The model's time is the step, as in the paper; the axis below is logarithmic
# only to show early steps and late ones together.

# %%
runs = gb.load("grokking")
run = runs.sel(d_h=d_h, D_train=D_train, seed=seed)
fit = gb.analysis.fit_patterns(run, n_patterns=n_patterns, clock=clock)
gb.plots.pattern_fit(run, fit)

# %% [markdown]
# The outline fits well: up to five hundredths are left over, most of them where accuracy rises. They have a shape,
# though, and are not noise. And do not read too much into the patterns: with four numbers each, other sets come close.
# How close, for all seeds, for fewer patterns, and with the logarithm of the step for a clock:

# %%
cell = runs.sel(d_h=d_h, D_train=D_train)
fits = {(clock, n, one): gb.analysis.fit_patterns(cell.sel(seed=one), n_patterns=n, clock=clock).rms
        for clock in ("log", "linear") for n in (1, 2, 3) for one in cell["seed"].values}
table = pd.DataFrame(fits).T.rename_axis(["clock", "patterns", "seed"])
table.groupby(["clock", "patterns"], sort=False).agg(["count", "mean", "min", "max"]).round(3)

# %% [markdown]
# (Root mean square residual, in accuracy.) One pattern must fail: its test accuracy is $g$ times its train accuracy, so
# nothing can be delayed. The second buys nearly everything: a fast pattern that memorises and a slow one that
# generalises. The third is no heuristic, for it comes after memorising. It draws the slow creep of validation accuracy
# before the jump. Chapter 01 has a name for that creep: mirrors. Without them, two patterns should do:

# %%
two_fits = {(metric, one): gb.analysis.fit_patterns(cell.sel(seed=one), n_patterns=2, metric=metric).rms["val_acc"]
            for metric in ("val_acc", "twin_free_val_acc") for one in cell["seed"].values}
pd.Series(two_fits).rename_axis(["fitted to", "seed"]).unstack().round(3)

# %% [markdown]
# They do: what is left over shrinks to between an eighth and three fifths. So a good part of what looked like a third
# pattern is the symmetry of addition, and grokking of this kind takes two of the three types. With `d_h = 32` the gain
# is smaller.
#
# And double descent? It has a dip: test accuracy rises, falls and rises again, while train accuracy does not fall. Here
# are the deepest dips of every study in the store, in validation accuracy; in the last column train accuracy may fall
# too.

# %% tags=["nbval-check-output"]
names = ("grokking", "double_descent", "harder_task", "zone_map", "division", "model_wise")
studies = {name: gb.load(name) for name in names}
dips = pd.concat({name: kinds.dips(runs) for name, runs in studies.items()}, names=["study"])
dips.groupby("study", sort=False).agg({"dip": ["size", "max"], "with_train": "max"}).round(3)

# %% [markdown]
# No run has a dip of five hundredths while train accuracy holds, so by the meaning above there is no double descent
# along the steps here, not even in division, where $0 / b = 0$ for every $b$ is a heuristic (chapter 07 shows it at
# work on some fifty pairs in nearly five thousand).
#
# But some small networks do fall and rise again, in *both* accuracies. The deepest of these dips, and the patterns that
# come closest to it:

# %%
deepest = dips.loc["zone_map"].nlargest(1, "with_train").iloc[0]
dipping = studies["zone_map"].sel(deepest[["d_h", "D_train", "seed"]].to_dict())
gb.plots.pattern_fit(dipping, gb.analysis.fit_patterns(dipping, n_patterns=3, clock="log"))

# %% [markdown]
# The model misses the dip, and has to. A pattern once learned is never lost in it, so train accuracy can only rise,
# and test accuracy falls only where one pattern is covered by another that generalises less. This network loses what it
# knew, of training pairs as of new ones, and finds it again. Forgetting is what the pattern model leaves out.

# %% [markdown]
# ## The claims of this chapter

# %% tags=["nbval-check-output"]
gb.claims.judge("pattern-model")

# %% tags=["nbval-check-output"]
gb.claims.judge("two-patterns")

# %% [markdown]
# ## Try it yourself
#
# **1.** A heuristic ($\gamma = 0.7$, $g = 1$) and overfitting ($\gamma = 1$, $g = 0$) have both finished. There is no
# slow pattern. What is test accuracy?

# %% tags=["nbval-check-output"]
answer = None  # an accuracy
gb.exercises.check("plateau", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Every example is covered by overfitting. On 70 % the heuristic covers it too, and the mean of 1 and 0 is one half; on
# the rest $G = 0$. So `answer = 0.7 / 2`.
# </details>
#
# **2.** In the grokking set of Fig 2, at which time does test accuracy cross one half?

# %% tags=["nbval-check-output"]
answer = None  # a time t
gb.exercises.check("halfway", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The slow pattern is preferred and has $g = 1$, overfitting has $g = 0$, and there is no heuristic. So test accuracy is
# $p_3(t)$ itself, and a sigmoid that ends at 1 is at one half at its inflection point:
# `answer = gb.analysis.patterns.GROKKING[2].b`.
# </details>
#
# **3.** How small can $\gamma_1$ of the double-descent set become before the dip is no double descent any more? Use the
# explorer above and give the smallest value, in hundredths, at which it still is one.

# %% tags=["nbval-check-output"]
answer = None  # a value of γ₁
gb.exercises.check("least-heuristic", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 0.2`. The peak is about three quarters of $\gamma_1$ and the valley half of it, so the fall is about a
# quarter of $\gamma_1$: a dip of 0.05 takes $\gamma_1 \approx 0.2$.
# </details>
#
# **Further:** make a double descent out of two patterns only, and one with two dips out of four.

# %% [markdown]
# ## What is still open here
#
# - The patterns do not compete: each grows by its own clock, whatever the others do. Weight decay, data and size of the
#   network, which decide everything in chapter 01, do not occur. The model describes; it does not explain.
# - It says nothing about loss, where double descent is plainest, and nothing about accuracy below chance, which
#   memorisers do have (chapter 01).
# - With a dozen free numbers it could hardly fail to fit one run. A test would be to fix the patterns on some runs and
#   foretell others.
# - The paper says that the size of a network acts like time. That is a claim about networks, and another chapter's.
#
# [← 05 Emergence](05_emergence.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [07 Grokking along the size →](07_model_wise_grokking.ipynb)
