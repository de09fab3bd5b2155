# %% [markdown]
# # Grokking
#
# A network can know every answer it was shown, know nothing else, and then, long after, understand. This is called
# *grokking* (Power et al. 2022). In this chapter one network does it in front of you, and others, trained before, show
# when it happens and when it does not.
#
# **The question:** when a network that has learnt its training examples by heart comes to generalise, what decides
# whether and when?
#
# [← 00 Explore](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [02 Memorization capacity →](02_memorization_capacity.ipynb)

# %% [markdown]
# ## Preliminaries
#
# **The task** is addition on a clock with 113 hours, $(a + b) \bmod 113$: a table of $113^2 = 12{,}769$ pairs. The
# network is shown `D_train` of them, over and over. The rest, the *validation* pairs, it never sees.

# %% tags=["parameters"]
d_h: int = 48  # hidden size of the live network
D_train: int = 3000  # training pairs of the live network
seed: int = 2  # seed of its initial weights and of its split
n_steps: int = 10_000  # most steps of the live training; it stops before, once every pair is right

# %% tags=["nbval-check-output"]
import grokbook as gb

config = gb.RunConfig(d_h=d_h, D_train=D_train, seed=seed, n_steps=n_steps)
print(f"{config.n_params:,} weights, {config.D_train:,} of {config.n_pairs:,} pairs ({config.frac_train:.0%})")

# %%
gb.plots.table_and_split(config)

# %% [markdown]
# On the left the sums: colour is the answer, and each answer occurs once in every row and every column. On the right
# the *split*: which pairs are shown is drawn at random, by the seed. Orange pairs are shown the other way round, as
# $b + a$; we come back to them.
#
# **The network** is a small transformer. It reads three tokens and gives a score (*logit*) to each of 113 answers, and
# one to `=`, which is never right:
#
# ```text
# a     b     =
# │     │     │   embedding
# └─────┴────>│   attention
#             │   feed-forward
#             v   unembedding
#           a + b ?
# ```
#
# From top to bottom: the embedding makes `d_h` numbers of a token and its place, four heads of attention bring what `=`
# needs, 4 · `d_h` neurons work on it, and the unembedding makes the scores of them.
#
# **Training.** The *loss* is $-\ln$ of the probability that the network gives to the right answer: 0 when it is sure
# and right, $\ln 113 = 4.73$ when it knows nothing. One *step* computes it on all training pairs and moves every weight
# a little downhill (AdamW). Each step also shrinks every weight a little, whatever the loss says: *weight decay*.
#
# **A seed** sets the initial weights and the split. Two seeds are two tries of the same experiment. Where a figure
# shows a mean over seeds, its 95 % *interval* is the range in which the mean of many more would lie, most likely; with
# three seeds that disagree it is wide.
#
# **What a memoriser scores.** Who guesses is right once in 113 times. A memoriser does *worse* on new pairs: every
# answer that it has seen in the row of $a$ or in the column of $b$ is wrong for $(a, b)$, as the table shows, and such
# answers are those that it leans to. Unless it treats $a$ and $b$ alike: then it knows the orange pairs.

# %% [markdown]
# ## Watch it happen
#
# The next cell trains that network for real. Press **Start**: it takes some 15 seconds on two processor cores, after
# half a minute of compilation the first time. Pause it, stop it, or move the sliders and start anew; what was trained
# last stays in `live.result()`.
#
# Black is accuracy on the training pairs, blue on all validation pairs, orange on those without the mirrored ones. The
# axis of steps is logarithmic, so what looks like a short pause is most of the training.

# %%
live = gb.widgets.LiveRun(config)
live

# %% [markdown]
# Train accuracy is 1 after some 400 steps: the network has memorised. Validation accuracy gets there after 2,600 to
# 3,000, seven times as many. In between nothing changed from outside, and the training loss was already small. What
# kept working is weight decay. Look at the norm of the weights: it sinks from where it was set, grows while the network
# memorises, and falls while it comes to understand.
#
# Is it the cause? Set the slider **decay** to 0 and train again, on the same pairs from the same weights. Train
# accuracy still runs to 1. What do you expect of the blue curve?

# %% [markdown]
# ## The same network with fewer pairs
#
# One run is an anecdote. The book ships the curves of many. These are of a wider network, with settings that many
# papers use; chapter 03 tells how ours above was found, in which understanding comes sooner, often ten times.

# %%
curves = gb.analysis.carried(gb.load("grokking"), "val_acc")
gb.widgets.Guess(curves.sel(d_h=64, D_train=4000), "Shown 4,000 pairs, how accurate is such a network on new ones?")

# %%
runs = gb.load("grokking")
gb.plots.grokking_panels(runs, cells=[(64, 5000), (64, 4000), (64, 3000), (64, 2000)], rows=["accuracy"])

# %% [markdown]
# From left to right the network is shown fewer pairs. Memorising takes about the same time everywhere. Generalising
# takes longer: 600 to 4,000 steps at 5,000 pairs, 6,600 to 19,000 at 4,000. At 3,000 pairs two seeds got there, after
# 42,000 and 50,000 steps, and three had not after 60,000. At 2,000 pairs none has.
#
# So there is a *critical size* of the training set, $D_{crit}$. Well below it a network stays a memoriser, for as long
# as we watched. Here is the end of every run, and the same for a network of half the size. This is Figure 3 of Huang et
# al. (2024), who find `d_h` 64 near perfect at 3,000 pairs and 32 at 4,000 (diamonds). Here 32 is where they have it,
# and 64 is not. (Below, a logistic curve fitted to the runs crosses one half at `D_crit`; the lines join means.)

# %%
gb.plots.final_accuracy(runs, paper=gb.claims.PERFECT_FROM)

# %% tags=["nbval-check-output"]
gb.analysis.critical_size(runs).round(0)

# %% [markdown]
# Why is there such a size? A widespread answer (Varma et al. 2023) is *efficiency*. To remember takes more weight the
# more pairs there are, to compute the sum takes the same for any number, and weight decay prefers whichever takes less.
# The two should then cost the same at the critical size. Chapter 09 measures both costs, and it is not so simple.

# %% [markdown]
# ## A split that flatters
#
# Addition does not care for order: $a + b = b + a$. A random split does not know that. With 3,000 of 12,769 pairs in
# training, nearly a quarter of the validation pairs have their *mirror* $(b, a)$ in training. A network that memorises
# but treats `a` and `b` alike gets these right without understanding anything.
#
# That is the orange curve. *Twin-free* accuracy counts only validation pairs whose mirror was not trained on. Let us
# ask the stored runs how accurate they are on mirrors alone, at a time when each has memorised and its twin-free
# accuracy is at chance (0.009) or below, in one at 0.013:

# %% tags=["nbval-check-output"]
measured = runs[["val_acc", "twin_free_val_acc"]].assign(twin_acc=gb.analysis.twin_accuracy(runs))
early = measured.sel(step=1995, d_h=64, D_train=[2000, 3000, 4000])
early.to_dataframe()[["val_acc", "twin_free_val_acc", "twin_acc"]].dropna().round(3)

# %% [markdown]
# On mirrors (`twin_acc`) these networks are right twice to a hundred times as often as by chance, on the others mostly
# less: they have noticed, in part, that order does not matter, and nothing else. A validation accuracy that creeps up
# and looks like the beginning of insight can be nothing but symmetry. So the book draws both curves of a run. What a
# run comes to in the end is told as the papers do, in validation accuracy; whether it knows *nothing else* is judged by
# the twin-free one. Here is the end of every run once more, twin-free:

# %%
gb.plots.final_accuracy(runs, metric="twin_free_val_acc")

# %% [markdown]
# At 3,000 pairs the curve of 32 sinks below chance. Its critical size moves up by some 300 here, by 45 on the finer
# grid of the card below; that of 64 hardly moves.

# %% [markdown]
# ## The claims of this chapter
#
# Every claim that the book takes up is judged by a rule. Where a rule changed after runs had been seen its card says
# so, and what was known then. A claim that fails stays.

# %% tags=["nbval-check-output"]
gb.claims.judge("critical-size")

# %% tags=["nbval-check-output"]
gb.claims.judge("delay")

# %% tags=["nbval-check-output"]
gb.claims.judge("twin-free")

# %% [markdown]
# ## Try it yourself
#
# Replace `None` by your answer and run the cell; it tells you whether you are right, and why. A hint opens on demand.
#
# **1.** With `D_train = 3000` of the 12,769 pairs in training, what share of the validation pairs has its mirror in
# training? (The diagonal $a = b$ is its own mirror.)

# %% tags=["nbval-check-output"]
answer = None  # a fraction between 0 and 1
gb.exercises.check("mirrors", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The mirror of a validation pair with $a \neq b$ is any other pair, and is in training with probability
# $3000 / 12{,}768 \approx 0.235$. Pairs with $a = b$ have no other mirror, which takes off about one in 113. The check
# counts the pairs of seed 0: `split = gb.tasks.split(gb.RunConfig(D_train=3000))`, then
# `answer = 1 - split.twin_free_val.sum() / split.val.sum()`.
# </details>
#
# **2.** Suppose that a network can store 2 bits in a weight, as has been measured for large language models (Allen-Zhu
# and Li 2024). How many labels of this task, each one of 113 numbers, could the network with `d_h = 32` know by heart?

# %% tags=["nbval-check-output"]
answer = None  # a number of labels
gb.exercises.check("labels", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A label is worth $\log_2 113 \approx 6.82$ bits: `answer = 2 * gb.RunConfig(d_h=32).n_params / 6.82`. Compare it with
# the 12,769 pairs that exist. Chapter 02 measures how many labels the network really holds.
# </details>
#
# **3.** Of the stored runs with `d_h = 64` and `D_train = 5000`, at which step did the slowest seed generalise?

# %% tags=["nbval-check-output"]
answer = None  # a step
gb.exercises.check("slowest", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = gb.analysis.events(runs.sel(d_h=64, D_train=5000)).t_gen.max()`
# </details>
#
# **Further:** how small can weight decay be for the live network to understand within 10,000 steps? How many pairs does
# it take at `d_h = 64`?

# %% [markdown]
# ## What is still open here
#
# - Huang et al. do not state their learning rate, weight decay or initial weights, and these move the times at which
#   things happen, and where. Chapter 03 goes after them.
# - Five seeds a cell are few where seeds differ this much.
# - A run that has not generalised after 60,000 steps may do so after 600,000. The book calls it *not by then*. The
#   two that got there at 3,000 pairs would have been called so, had we stopped at 40,000.
#
# [← 00 Explore](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [02 Memorization capacity →](02_memorization_capacity.ipynb)
