# %% [markdown]
# # Grokking along the size
#
# Grokking happens in *time*: a network knows its training pairs, waits, and then understands. Double descent happens
# along the *size*: a network large enough to fit its training pairs is bad, and a larger one is good. Davies, Langosco
# and Krueger (2022) hold that these are the same thing, because patterns develop alike with more steps and
# with more width.
#
# **The question:** if you may pay in steps or in width, do you get the same?
#
# [← 06 One model for two curves](06_pattern_model.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [08 Other networks →](08_other_networks.ipynb)

# %% [markdown]
# ## Another rule, another network
#
# Their task is division: the answer to `a b =` is $a\,b^{-1} \bmod 97$, for all $b \neq 0$, and half of the table is
# trained on. Division does not commute, so there are no twins (chapter 01); but it has a shortcut of its own, which
# comes up below. Their network has two layers with one head each and learns from batches of 512 pairs.
#
# What is ours: the book's layers, without LayerNorm, and weight decay. Theirs is $10^{-5}$, and their runs are 400,000
# steps long. The stored runs here have weight decay 0.5 unless a figure says otherwise, and 10,000 steps; that is what
# two CPU cores can follow. So a claim that fails below fails *at weight decay 0.5*; at theirs it is not yet measured.
# `grokbook sweep model_wise --size paper` trains both on a GPU.

# %% tags=["parameters"]
d_h: int = 16  # hidden size (width) of the live network
D_train: int = 4656  # its training pairs, half of the table
seed: int = 0  # seed of its initial weights, its split and its batches
weight_decay: float = 0.5  # its weight decay
n_steps: int = 400  # steps of the live training

# %%
import grokbook as gb

like_theirs = gb.studies.division.paper[0]
config = like_theirs.replace(d_h=d_h, D_train=D_train, seed=seed, weight_decay=weight_decay, n_steps=n_steps,
                             batch_size=min(512, (D_train + 1) // 2))

# %% [markdown]
# ## Watch it happen
#
# Watch the loss. Both curves fall together until the network begins to know its training pairs one by one; then the
# blue one turns up while the black one goes on down. In accuracy there is hardly anything to see yet. More steps and a
# larger `d_h` show the rest. Orange, in chapter 01 the pairs without mirrors, is here those outside of a shortcut that
# comes up below.

# %%
live = gb.widgets.LiveRun(config)
live

# %% [markdown]
# ## Three views
#
# The widest networks that were stored, seen three times. On the left is the picture that made grokking famous. In the
# middle the same curves on a logarithmic axis: an early bump appears, and a dip behind it. On the right is the loss,
# and there the test curve climbs while the network learns its training pairs by heart, and comes down when it
# understands.

# %%
runs = gb.load("model_wise", weight_decay=0.5).squeeze("D_train")
gb.plots.three_views(runs.isel(d_h=-1))

# %% tags=["nbval-check-output"]
gb.claims.judge("three-views")

# %% [markdown]
# Accuracy counts answers, loss counts confidence. A memoriser is wrong about new pairs in any case; what grows is how
# *sure* it is of its wrong answers, and only the loss pays for that. Weight decay keeps it from getting too sure, so
# with ours the hill is low, less than a doubling in most runs; the rule asked for one.

# %% [markdown]
# ## The shortcut
#
# $0 / b = 0$ for every $b$. This is a pattern in the sense of chapter 06: learned fast, right on all new examples that
# it covers, and it covers few. A test set holds about 48 of the 96 such pairs. A network that knows it and guesses the
# rest has some 96 right: the paper's number is this sum.
#
# The next figures count the right test answers with a = 0 apart from the others, for the paper's width of 128, first
# with their weight decay and dropout (their code leaves out a tenth of the feed-forward outputs, their text does not
# say so), then with ours.

# %%
early = gb.load("division").squeeze(("d_h", "D_train"))
theirs = early.sel(weight_decay=1e-5, dropout=0.1)
gb.plots.zero_counts(theirs, title="Right answers, weight decay 1e-5, dropout 0.1")

# %%
plain = early.sel(weight_decay=0.5, dropout=0.0)
gb.plots.zero_counts(plain, title="Right answers, weight decay 0.5, no dropout")

# %% [markdown]
# The others fall *below* what guessing gives. Memory does that: for every trained pair $(a, b)$ the answer is taken,
# and no other $b$ can have it with the same $a$. A network that answers a new pair with what it knows from its
# neighbours is wrong more often than one that rolls a die.

# %% tags=["nbval-check-output"]
gb.claims.judge("zero-over-b")

# %% [markdown]
# ## The map
#
# Now all widths at once, steps upwards. The dotted line is where the training pairs are fitted: wide networks get there
# sooner, so it slopes down. If width and steps were one thing, test loss would fall, rise and fall on the way up along
# a column, and again on the way to the right along a row.

# %%
gb.plots.width_maps(runs)

# %%
gb.plots.width_maps(runs, ("val_acc", "train_acc"))

# %% tags=["nbval-check-output"]
gb.claims.judge("model-wise-map")

# %% [markdown]
# The columns of the wide networks have a faint hill, the narrow ones hardly any, and the rows have none that holds in
# seeds other than those it was found in. The reason stands in the second figure: our narrow networks are not memorisers
# that fail, as the paper's seem to be. At this weight decay they understand a part, which is the progression zone of
# chapter 03, and nobody has to come down from a hill that was never climbed.

# %% [markdown]
# ## The cut
#
# The last row of the map, as a curve over the width. The paper trains one network a width and smooths its curves along
# the width with a Gaussian filter; here a line joins means over seeds, and every run is a dot.

# %%
gb.plots.width_cut(runs)

# %% tags=["nbval-check-output"]
gb.claims.judge("model-wise-cut")

# %% [markdown]
# ## Are they one?
#
# The paper says it in words. Here is a way to ask for a number. Suppose that steps and width only ever act together,
# through one variable
#
# $$u = \log(\mathrm{step}) + \gamma \log(d_h).$$
#
# Then cells of the map with the same $u$ have the same test loss, however they come by it. Take the $\gamma$ for which
# this is most nearly true, and see how much of the variance of log test loss $u$ tells. The step alone ($\gamma = 0$)
# is one hypothesis to beat; the other is that steps and width have a say each, and their effects add up.

# %% tags=["nbval-check-output"]
gb.claims.judge("size-time-duality")

# %% [markdown]
# ## Try it yourself
#
# **1.** A network knows $0/b = 0$ and nothing else, and guesses. How many of its answers to the test pairs of seed 0
# are right, on average?

# %% tags=["nbval-check-output"]
answer = None  # a number of pairs
gb.exercises.check("shortcut", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `gb.tasks.split(config)` marks the test pairs, `gb.tasks.table(config).tokens[:, 0]` is their a. Of the 4,656 test
# pairs of seed 0 51 have a = 0, and of the others one in 97 is guessed: `answer = 51 + (4656 - 51) / 97`.
# </details>
#
# **2.** Suppose $\gamma = 1.5$. A network becomes twice as wide. In how many times fewer steps does it get as far?

# %% tags=["nbval-check-output"]
answer = None  # a factor
gb.exercises.check("twice-as-wide", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\log(\mathrm{step})$ may fall by $1.5 \log 2$: `answer = 2**1.5`.
# </details>

# %% [markdown]
# ## What is still open here
#
# - The paper's own weight decay of $10^{-5}$, over its 400,000 steps: whether that map has the hills takes a GPU to
#   see.
# - Their network has LayerNorm and sinusoidal positions; ours has not. Nothing here says what they change.
# - One variable $u$ is the simplest form of the claim. If it fails, two variables may still do: one for fitting and
#   one for forgetting.
#
# [← 06 One model for two curves](06_pattern_model.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [08 Other networks →](08_other_networks.ipynb)
