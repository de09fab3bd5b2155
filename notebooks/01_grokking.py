# %% [markdown]
# # Grokking
#
# A network can know every answer it was shown, know nothing else, and then, long after, understand. This is called
# *grokking* (Power et al. 2022). In this chapter one network does it in front of you, and others, trained before, show
# when it happens and when it does not.
#
# **The question:** when a network that has learnt its training examples by heart comes to generalise, what decides
# whether and when?

# %% [markdown]
# ## The task
#
# Addition on a clock with 113 hours: $(a + b) \bmod 113$. There are $113^2 = 12{,}769$ pairs. The network is shown
# `D_train` of them, over and over; the rest, the *validation* pairs, it never sees. A memoriser can only guess there,
# and is right once in 113 times.
#
# The network is a small transformer with one layer: it reads the three tokens `a b =` and answers with one of 113
# numbers. Its size is the hidden size `d_h`.

# %% tags=["parameters"]
d_h: int = 64  # hidden size of the live network
D_train: int = 5000  # training pairs of the live network
seed: int = 0  # seed of its initial weights and of its split
n_steps: int = 20_000  # most steps of the live training; it stops before, once every pair is right

# %% tags=["nbval-check-output"]
import grokbook as gb

config = gb.RunConfig(d_h=d_h, D_train=D_train, seed=seed, n_steps=n_steps)
print(f"{config.n_params:,} weights, {config.D_train:,} of {config.n_pairs:,} pairs ({config.frac_train:.0%})")

# %% [markdown]
# ## Watch it happen
#
# The next cell trains that network for real, on the whole training set at every step. Press **Start** and its curves
# grow while you read on or run other cells. Pause it, stop it, or move the sliders and start anew with another network;
# what was trained last stays in `live.result()`. The very first training on a machine begins with half a minute of
# compilation.
#
# Watch three curves. *Train* accuracy runs to 1 within a few hundred steps: the network has memorised. *Validation*
# accuracy stays behind. The third, *twin-free*, is explained below. The step axis is logarithmic, so what looks like a
# short pause is most of the training.

# %%
live = gb.widgets.LiveRun(config)
live

# %% [markdown]
# Nothing changed from outside when validation accuracy took off: same pairs, same learning rate, a training loss
# already far below what a human would call finished. What kept working is *weight decay*. At every step it shrinks all
# weights a little, and the loss pulls back only those that the answers need. Knowing 5,000 pairs by heart takes large
# weights; a rule for addition does with smaller ones.
#
# Look at the two lower panels. While memorising, the norm of the weights grows. Then the training loss is next to
# nothing, weight decay wins, and the norm falls. Generalisation arrives on the way down.

# %% [markdown]
# ## The same network with fewer pairs
#
# One run is an anecdote. The book ships the curves of many, trained with the code that you just ran, five seeds for
# each cell here. A seed sets the initial weights and which pairs are shown.

# %%
runs = gb.load("grokking")
gb.plots.grokking_panels(runs, cells=[(64, 5000), (64, 4000), (64, 3000), (64, 2000)])

# %% [markdown]
# From left to right the network is shown fewer pairs. Memorising takes about the same time everywhere. Generalising
# takes longer: some 600 to 4,000 steps at 5,000 pairs, 6,600 to 19,000 at 4,000. At 3,000 pairs three seeds have not
# got there after 60,000 steps and two have, after 40,000 and 50,000. At 2,000 pairs none has.
#
# So there is a *critical size* of the training set. Below it the network, within our patience, stays a memoriser; and
# near it patience decides. Here is the end of every run, and the same for a network of half the hidden size:

# %%
gb.plots.final_accuracy(runs)

# %% tags=["nbval-check-output"]
gb.analysis.critical_size(runs).round(0)

# %% [markdown]
# Between two sizes that were tried nobody has looked, so an interval reaches from one to another. The card at the end
# of this chapter rests on more sizes, each for 40,000 steps. There too some seeds of a cell generalise and others do
# not, so its intervals are hardly narrower.
#
# ## Memorising against understanding
#
# Why should there be such a size? Picture two circuits that grow in one network and share its weights.
#
# - A **memorising** circuit stores pairs. Each new pair costs it more weight. With few pairs it is cheap.
# - A **generalising** circuit computes the sum. It costs the same for 2,000 pairs as for 12,000, and is hard to find.
#
# Weight decay favours whichever gives the right answers with less weight: the more *efficient* one (Varma et al.
# 2023). With many pairs that is the generalising circuit, with few the memorising one, and somewhere in between they
# cost the same. A later chapter measures these costs. The picture already predicts what you saw: more pairs, an
# earlier switch; fewer, a later one, or none.

# %% [markdown]
# ## A split that flatters
#
# Addition does not care for order: $a + b = b + a$. A random split does not know that. With 3,000 of 12,769 pairs in
# training, nearly a quarter of the validation pairs have their *mirror* $(b, a)$ in training. A network that memorises
# but treats `a` and `b` alike gets these right without understanding anything.
#
# That is the third curve. *Twin-free* accuracy counts only validation pairs whose mirror was not trained on. Let us
# ask the stored runs how accurate they are on mirrors alone, at a time when each has memorised and its twin-free
# accuracy is still about chance:

# %% tags=["nbval-check-output"]
measured = runs[["val_acc", "twin_free_val_acc"]].assign(twin_acc=gb.analysis.twin_accuracy(runs))
early = measured.sel(step=1995, d_h=64, D_train=[2000, 3000, 4000])
early.to_dataframe()[["val_acc", "twin_free_val_acc", "twin_acc"]].dropna().round(3)

# %% [markdown]
# `twin_acc` is above chance (0.009) where `twin_free_val_acc` is below it: these networks have noticed that order does
# not matter, in part, and nothing else. How much of it a memoriser picks up depends on its seed. So a validation
# accuracy that creeps up and looks like the beginning of insight can be nothing but symmetry. Where this book draws
# the curves of a run it draws both. What a run comes to in the end is drawn as the papers do, in validation accuracy,
# and judged by the twin-free one. Here is the end of every run once more, twin-free:

# %%
gb.plots.final_accuracy(runs, metric="twin_free_val_acc")

# %% [markdown]
# The foot of the curves sinks from a few hundredths to chance; the critical size hardly moves.

# %% [markdown]
# ## The claims of this chapter
#
# Every claim that the book takes up is judged by a rule that was fixed before looking, with the number of runs it
# rests on. A claim that fails stays.

# %% tags=["nbval-check-output"]
gb.claims.judge("critical-size")

# %% tags=["nbval-check-output"]
gb.claims.judge("delay")

# %% tags=["nbval-check-output"]
gb.claims.judge("twin-free")

# %% [markdown]
# ## Try it yourself
#
# Replace `None` by your answer and run the cell; it tells you whether you are right, or gives a hint.
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
# **Further:** move the slider `D_train` of the live run to 4,000 and start anew. Does your network grok within 20,000
# steps? How does it look with `d_h = 32`?

# %% [markdown]
# ## What is still open here
#
# - The papers do not state their learning rate, weight decay or initial weights. Ours are the field's usual ones, and
#   they move the times at which things happen. The claims' cards say which settings are ours.
# - Five seeds a cell are few where seeds differ this much.
# - A run that has not generalised after 60,000 steps may do so after 600,000. The book calls it *not by then*. Two of
#   the five networks at 3,000 pairs would have been called so, had we stopped at 40,000.
