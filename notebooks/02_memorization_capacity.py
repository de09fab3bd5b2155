# %% [markdown]
# # Memorization capacity
#
# Before a network can grok it must know its training pairs by heart. Can it? That depends on how many there are, and on
# its size. To measure memory alone, take understanding away: give every pair a *random* label. Then there is no rule to
# find, and every right answer has been stored somewhere in the weights.
#
# **The question:** how much can a network of hidden size `d_h` know by heart?
#
# [← 01 Grokking](01_grokking.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [03 Four zones →](03_four_zones.ipynb)

# %% [markdown]
# ## The task
#
# All $113^2 = 12{,}769$ pairs are shown, each with a label drawn at random from 113. As in the paper, $(a, b)$ and
# $(b, a)$ share their label, as they do in addition, so there are $113 \cdot 114 / 2 = 6{,}441$ different labels to
# remember. What the network answers right at the end is its *memorization capacity* $D_{mem}$ for this kind of data.

# %% tags=["parameters"]
d_h: int = 16  # hidden size of the live network
seed: int = 0  # seed of its initial weights and of its labels
n_steps: int = 3_000  # steps of the live training
budget: int = 20_000  # steps after which the stored runs are judged

# %% tags=["nbval-check-output"]
import grokbook as gb

config = gb.RunConfig(task="random", d_h=d_h, D_train=113**2, seed=seed, n_steps=n_steps, **gb.studies.USUAL)
print(f"{config.n_params:,} weights for 6,441 labels of 6.82 bits: {6441 * 6.82 / config.n_params:.1f} bits a weight")

# %% [markdown]
# ## Watch it happen
#
# The network trains on random labels. For some hundred steps it learns next to nothing, then pair after pair; but
# accuracy does not run to 1 as in chapter 01, since the weights cannot hold it all. There is no validation curve, for
# there is nothing left to validate on, and nothing to predict.

# %%
live = gb.widgets.LiveRun(config)
live

# %% [markdown]
# ## Measure it
#
# Here is where stored runs of several sizes ended. On the left the paper's measure, pairs answered right; on the right
# the same as information: how many *bits* of the labels the weights hold, a weight.
#
# Bits are counted by the loss. To a network that knows nothing, a label of 113 equally likely ones is worth
# $\log_2 113 = 6.82$ bits. A network that predicts the label with cross entropy $L$ still lacks $L / \ln 2$ of them, so
# it holds $6.82 - L / \ln 2$ bits of each label. This also counts half-knowledge, "one of these three", which accuracy
# does not.

# %%
random = gb.load("commutative_memory", budget)
gb.plots.memory(random)

# %% tags=["nbval-check-output"]
columns = ["task", "d_h", "n", "D_mem", "distinct", "bits_per_param", "rising"]
gb.analysis.capacity(random)[columns].round({"D_mem": 0, "distinct": 0, "bits_per_param": 2, "rising": 2})

# %% [markdown]
# Larger networks know more, and how much fits is a property of the size: seeds of one size differ by a few per cent, by
# fourteen at `d_h` 4 and 8. `D_mem` counts pairs, `distinct` the different labels among them, `bits_per_param` is the
# figure's right half. The column `rising` is a warning. It says how much accuracy still grew in the second half of the
# training. Capacity here is what a network holds after so many steps *under weight decay*, which keeps erasing what is
# not rehearsed, and not what could be stored in it at best.
#
# From `d_h` 12 on bits a weight fall as networks grow: 1.67 at 12, 1.53 at 24, 1.25 at 40. At 40 the symmetric labels
# are mostly known, so there is little left to hold. But those without symmetry are not, and there it falls too.
# Accuracy still grows in the largest: for them 20,000 steps are short.

# %% tags=["nbval-check-output"]
gb.claims.judge("capacity")

# %% tags=["nbval-check-output"]
gb.claims.judge("capacity-in-bits")

# %% [markdown]
# ## Half as much to remember
#
# Labels without symmetry give $(a, b)$ and $(b, a)$ two different answers: 12,769 labels to remember rather than 6,441.
# If a network used the symmetry fully it would know twice as many *pairs* where labels are symmetric, and as many
# *distinct* labels either way (column `distinct`). If it could not use it at all, it would know as many pairs.
#
# The table speaks for the first. In bits a weight the two kinds of labels lie within 5 % of each other, size by size:
# what limits these networks is information, not pairs. Distinct labels known follow it roughly, since the count leaves
# out half-knowledge: at `d_h` 8 more of that lies among symmetric labels, so that the ratio of pairs stays below two,
# and from `d_h` 24 on among the others, so that it passes two.

# %% tags=["nbval-check-output"]
gb.claims.judge("commutative-memory")

# %% [markdown]
# ## What it is for
#
# The next chapter draws $D_{mem}$ on a map over `d_h` and `D_train`. Above the line a network is shown more pairs than
# it can know by heart: the training accuracy hardly reaches 1 by memory alone, and what lifts it further is mostly
# something else. One caution: of all pairs nearly every label comes twice, of a random split of 3,200 a quarter, so a
# network that knows 4,371 of all pairs has room for some 3,200 of a split. Chapter 03 compares both lines.
#
# ## Try it yourself
#
# **1.** How many bits are all 6,441 labels worth together?

# %% tags=["nbval-check-output"]
answer = None  # a number of bits
gb.exercises.check("bits", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 6441 * 6.82`, about 43,900 bits.
# </details>
#
# **2.** A network answers half of the pairs of symmetric labels right and, on the others, spreads its guess evenly over
# all 113 answers. How many bits of a label does it hold on average?

# %% tags=["nbval-check-output"]
answer = None  # bits a label
gb.exercises.check("half-known", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Its loss is 0 on one half and $\ln 113$ on the other, so it holds half of the 6.82 bits of a label:
# `answer = 6.82 / 2`.
# </details>
#
# **Further:** move the slider to `d_h` 32 and start the live run again. How many steps does it take to know as much as
# the network with `d_h` 16 ever will?

# %% [markdown]
# ## What is still open here
#
# - Capacity grows with patience, and the paper does not say how long it trained. The table says how fast it still grew.
# - Weight decay 1 is strong. How much of the gap to 2 bits a parameter, measured in other networks, is its doing?
# - Is the structure of attention in the way? Each label is reached through two tokens that it shares with 224 others.
#
# [← 01 Grokking](01_grokking.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [03 Four zones →](03_four_zones.ipynb)
