# %% [markdown]
# # Emergence
#
# Language models of a certain size can suddenly do things that smaller ones cannot at all. Huang et al. (2024) build a
# toy of this. One network gets two tasks: additions, which have a rule, and subtractions with *random* answers, which
# have none and can only be known by heart. Alone, addition is easy. Beside the random pairs, they say, small networks
# never find its rule, and it appears only in networks about 1,570 times as large.
#
# **The question:** why should having to remember one thing stop a network from understanding another, and what does
# size change?
#
# [← 04 Double descent](04_double_descent.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [06 One model for two curves →](06_pattern_model.ipynb)

# %% [markdown]
# ## Two tasks, one network
#
# An example is now `a + b =` or `a - b =`, so no input belongs to both tasks. In the terms of chapter 03: memory that
# is already built for the random pairs can hold the additions as well, and a network that has to be large enough to
# remember has less reason to understand. Whether it *must* not understand is a matter of measurement.
#
# Two decisions make this chapter. A network that knows 5,000 additions by heart and takes $a$ and $b$ for alike answers
# 39 % of all others, since their mirrors were trained on; so everything is read *twin-free* (chapter 01). And we train
# on 5,000 additions where the paper has 3,000, in the book's recipe (chapter 03), since then networks that two CPU
# cores can train fall on both sides of the border.

# %% tags=["parameters"]
d_h: int = 64  # hidden size of the live network
D_train: int = 5000  # additions that it is trained on
D_random: int = 3000  # random pairs beside them
seed: int = 0  # seed of its initial weights, its split and its random labels
n_steps: int = 1_200  # steps of the live training

# %%
import grokbook as gb

recipe = gb.studies.emergence.laptop[0]
config = recipe.replace(d_h=d_h, D_train=D_train, D_random=D_random, seed=seed, n_steps=n_steps)

# %% [markdown]
# ## Watch it happen
#
# Watch the orange curve beside the black one. The network finds addition while it knows few of its random pairs; then
# it goes on to learn those by heart, and the orange curve comes *down* again. Move `D_random` to 300, or `d_h` to 32,
# and press *Start*: addition is back by step 1,200 in most seeds. Pale below are the stored runs of
# each cell that has any, from seed 1 on.
#
# Measured on two quiet cores (AMD EPYC, two threads): 1,200 steps took 20 s, twice, after compilation, which is half a
# minute the first time. Twin-free accuracy rose to about 0.7 at step 525 and ended at about 0.55.

# %%
live = gb.widgets.LiveRun(config)
live

# %% [markdown]
# ## Measure it
#
# The paper's figure: accuracy on addition after training, against the size of the network, for several numbers of
# random pairs. The paper shows the best of three networks. On the left is the best of ours, on the right the mean and
# every run: where seeds disagree, the best one flatters. The caption counts the seeds of a cell.

# %%
every = gb.load("emergence", D_train=5000, n_layers=1)
runs = every.squeeze("D_train")
gb.plots.emergence(runs)

# %% tags=["nbval-check-output"]
gb.analysis.emergence.emergent_size(runs).set_index("D_random")

# %% [markdown]
# `fails_at` is the last size without the ability, `d_h` the next that was measured: *open*, none has it; `fails_at` 0,
# no size is without. `lo` and `hi` are 95 % limits: `lo` 0 says that all sizes may have it, `hi` *open* that none may.
# One seed has no limits (–).

# %% tags=["nbval-check-output"]
gb.claims.judge("emergence")

# %% tags=["nbval-check-output"]
gb.claims.judge("number-of-random-pairs")

# %% [markdown]
# A surprise: beside 3,000 random pairs it is networks of 12 to 48 that add, those of 16 better than alone. With more
# `d_h` the ability is lost, most of it at 96; at 128 half is back, and at 192 and 256 two thirds, late, at 192 still
# rising when training ends: a valley, like those of chapter 04. The paper, whose smallest network has 64, would look at
# its right shore alone, and there bigger networks do what smaller ones cannot. Beside 300 and 1,000 random pairs there
# is no valley: from 16 on no mean falls below one half, so here their number matters. What the smallest networks lack
# is another thing: up to 24 many seeds stop at a part even without any random pairs.
#
# Every cell of that map, with its curves; colour *zone* tells which networks memorised first:

# %%
explorer = gb.widgets.Explorer(runs, d_h=64, D_random=3000, seed=1, budget=6_000, color="twin_free_val_acc")
explorer

# %% [markdown]
# ## Smaller, or short of pairs?
#
# Random pairs could act in two ways. They could *use up memory*: then a network beside them is one with fewer weights,
# and its accuracy is that of a smaller network alone. Chapter 02 says how many bits a weight holds, so that prediction
# has nothing to fit. Or they could raise the number of additions that understanding takes, $D_{crit}$: then it is like
# a network alone that has *too few pairs*, which from some size on remembers them and stops there.

# %%
bits = gb.analysis.capacity(gb.load("capacity"))["bits_per_param"].median()
fewer = gb.load("larger_weights", 6_000, D_train=2600).squeeze("D_train")
gb.plots.competition(runs, fewer, D_random=3000, bits=bits)

# %% [markdown]
# The dashed line is known only where networks alone were measured on both sides. There it rises with size, while the
# measured one falls up to 96: at `d_h` 64 memory for the random pairs costs little, and most of the ability is gone. So
# memory used up is not the reason. The dotted line, networks alone on about half as many additions, falls with size
# too, though at smaller sizes and lower. That speaks for a shortage of pairs, a higher $D_{crit}$; it is a likeness,
# not a proof, and which number of pairs to compare with was chosen after the runs were seen. Nor is the left end want
# of memory: the weights of `d_h` 16 hold half of the random pairs at best, such networks learn hardly any, and they add
# better than alone. Why random pairs should help them we do not know.

# %% [markdown]
# ## What the paper's own measure would show
#
# The same runs with all three accuracies, a column for each number of random pairs. Blue is the validation accuracy
# that the paper plots, mirrors included; the gap between blue and orange is what mirrors give away.

# %%
measured = runs["trained"].any("seed").sum("d_h") > 2
columns = {f"{D:,} random pairs": runs.sel(D_random=D) for D in runs["D_random"].values[measured]}
gb.plots.compare_by_size(columns, title="Accuracies beside random pairs")

# %% [markdown]
# Black tells whether a network fails for want of memory, as one would think if random pairs simply used up a part of it
# and left a smaller network for addition. It is the other way round. By chapter 02's bits a weight `d_h` 32 can hold
# all 3,000 random pairs, but not the additions too, so remembering everything is no way out, and such networks add: the
# progression zone of chapter 03. Those with 64 and 96 hold all 8,000 pairs, and add a third as well as alone, or less.
# They are not short of memory; they have enough to do without the rule.

# %% [markdown]
# ## Learned and taken back
#
# What happened in the live run, for the runs of three sizes. A network moves to the right as it learns its pairs and up
# as it learns to add. One that only ever learned would move up and to the right; a path that turns down has understood
# something and given it up again for memory.

# %%
gb.plots.forgetting(runs.sel(D_random=runs["D_random"] >= 1000), sizes=(48, 64, 128))

# %% tags=["nbval-check-output"]
lost = gb.analysis.emergence.mean_fall(runs.sel(D_random=runs["D_random"] > 0, d_h=runs["d_h"] >= 32))
lost.set_index(["D_random", "d_h"]).round(2)

# %% [markdown]
# `peak` is the highest twin-free accuracy along the way, `at` its step, `fall` how much of it was gone at the end, with
# 95 % limits `lo` and `hi` over `n` seeds (one seed has none). At 48 and 64 beside 3,000 pairs the mean is a
# fall, but limits reach below 0: seeds do not agree.
#
# What is it that goes? Three networks of `d_h` 48 kept their weights along the way, so both tasks can be asked apart,
# and the key frequencies of chapter 10, on which the rule stands, can be weighed.

# %%
gb.plots.two_tasks()

# %% [markdown]
# What sinks is the answer to new additions, while random pairs come in; trained additions stay known, but for seed 2,
# which loses a tenth of them on the way. The frequencies stay the same ones, and at the end hold a smaller share of the
# embedding than at the peak: the rule is not taken apart, but more of the embedding is something else. Whether that
# drives the loss is open: in seed 1 their share falls while accuracy still rises, in seed 2 accuracy falls first.
#
# Three sizes beside the most random pairs, on either side of the valley and within, with their norms:

# %%
most = every.sel(D_random=3000)
gb.plots.grokking_panels(most, cells=[(32, 5000), (64, 5000), (128, 5000)])

# %% [markdown]
# In the middle the network learns more and more of its random pairs, its norm grows, and in three of five seeds
# addition sinks somewhat (`fall` above) to a level at which it stays: as if two circuits stood side by side and neither
# removed the other. On the right everything is remembered first and addition comes late, while the norm falls: that is
# how grokking looks, and its curve has not ended.

# %% [markdown]
# ## Is it sharp, or is accuracy?
#
# Schaeffer et al. (2023) hold that abilities of language models only seem to appear at once: accuracy asks for the
# whole answer, and a smooth gain in probability looks like a jump. So the same runs are judged by their loss too.

# %% tags=["nbval-check-output"]
gb.claims.judge("sharp-measure")

# %% [markdown]
# Beside 1,000 random pairs and from `d_h` 8 on, one step from a size to the next makes about two thirds of all rises
# of accuracy, and more than half of all falls of the loss. The seeds cannot tell these two apart, so there is
# no sign here that the loss is the smoother of them; what would show it is more seeds of the widest networks.
#
# ## A half for each
#
# If memory and rule compete for the same neurons, they should get on once each has its own. The paper gives each task
# half of the feed-forward neurons and finds addition at a much smaller size. Here are our sizes as they were, and with
# a half for each task; embedding and attention both still share.

# %%
halved = gb.load("separate_parameters", D_train=5000, n_layers=1).squeeze(drop=True)
halved = halved.sel(d_h=halved["trained"].any("seed").all("split_mlp"))
columns = {"neurons shared": halved.sel(split_mlp=False), "a half each": halved.sel(split_mlp=True)}
gb.plots.compare_by_size(columns, title="A half of the neurons for each task")

# %% tags=["nbval-check-output"]
gb.claims.judge("separate-parameters")

# %% [markdown]
# From 64 on every network with halves adds better than any without, though all pairs are remembered as before (black).
# They regain half or more of what they had lost. So neurons are a good part of what memory takes there, and it takes
# more of them than it needs, for half of them hold the 3,000 random pairs. Below, halves give no gain, and with 48 the
# mean is lower than without; why, these runs do not tell. Nor whether the rule gains by keeping its neurons, or because
# additions alone have too few to be held by heart: that takes halves of different sizes.

# %% [markdown]
# ## One layer, one recipe?
#
# So far every network had one layer and initial weights twice as large as usual. With usual ones, all else the same
# (of those beside 0 and 3,000 random pairs, 192 and more and two of the five of 128 were trained on a GPU that rounds
# factors to TF32):

# %%
import pandas as pd

unscaled = gb.load("mixture_depth", D_train=5000, n_layers=1, init_scale=1).squeeze("D_train")
gb.plots.emergence(unscaled)

# %% tags=["nbval-check-output"]
gb.analysis.emergence.emergent_size(unscaled).set_index("D_random")

# %% tags=["nbval-check-output"]
gb.claims.judge("emergence-usual-weights")

# %% [markdown]
# This has the shape of the paper's figure. Without random pairs every network of 32 and more knows all of addition.
# Beside 2,000 those of 48 and 64 know little of it (the best of six a seventh) and from 96 on half to three quarters;
# beside 3,000 those of 48 to 96 next to nothing, of 128 little, of 192 two thirds; beside 4,000 those of 64 and 128
# next to nothing, of 192 a third, of 256 half, and most of them still rise. By the means addition fails and comes back
# beside each of these three; where three seeds ran, the limits are too wide to say so, hence the verdict. (`n` is the
# most seeds that a size has.)
#
# Three things are unlike the paper. The number of random pairs matters: beside 1,000 no size tried, 32 to 192, is below
# one half, and by the means 4,000 ask for six times the weights that 2,000 do. The card counts weights from `d_h` 16,
# the smallest tried alone, so its 71 and 124 tell of a grid, like the paper's 1,570. And there is a valley again:
# beside 3,000 random pairs 16 adds as well, and 24 and 32 in part, as does 32 beside 2,000.
#
# Is addition shut out, or late? Three networks of 64 beside 3,000 random pairs, for five times as many steps:

# %%
longer = gb.load("mixture_depth", 30_000, D_train=5000, n_layers=1, init_scale=1, D_random=3000, d_h=64)
gb.plots.grokking_panels(longer, cells=[(64, 5000)])

# %% [markdown]
# They end at 0.01, 0.09 and 0.27. Two of the three know 99 % of their pairs by step 2,400 and a twentieth of new
# additions only by step 14,000 to 18,000, while their norm falls: so grokking looks, far later than alone, where 64
# knew all of addition by step 6,000. The third knew its pairs later, by step 6,600, and shows nothing of the kind.
#
# And layers? About as many weights, some 60,000, in one, two and four, by initial scale; `train` is the mean of train
# accuracy, the rest is twin-free:

# %% tags=["nbval-check-output"]
ends = [pd.DataFrame({metric: gb.analysis.final(gb.load("mixture_depth", D_train=D_train), metric).to_series()
                      for metric in ("train_acc", "twin_free_val_acc")}).dropna() for D_train in (5000, 3000)]
ends[0].query("(d_h == 64 or n_layers > 1) and D_random in (0, 3000)").groupby(
    ["init_scale", "n_layers", "d_h", "D_random"]).agg(train=("train_acc", "mean"), **{
        of: ("twin_free_val_acc", of) for of in ("mean", "min", "max", "size")}).round(2)

# %% [markdown]
# With larger weights more layers learn little of either task. Usual ones were tried since one network of two layers
# understood with them. (With a learning rate of 0.001, one network each, weights × 2 understood additions alone by step
# 6,000, and usual ones memorised.) There two layers understand additions alone, and beside random pairs remember fewer
# than one layer; one of three is on its way to the rule when training ends. Four layers may or may not learn additions
# alone, and learn little beside random pairs. So with as many weights more layers are no help that these runs show.
#
# The paper's own data are fewer: 3,000 additions beside 3,000 random pairs. Wider networks of two layers, on a GPU:

# %% tags=["nbval-check-output"]
ends[1].reset_index().sort_values(["d_h", "D_random", "seed"]).set_index(
    ["d_h", "D_random"])[["seed", "train_acc", "twin_free_val_acc"]].round(2)

# %% [markdown]
# Nothing has emerged there, with one hint: one of three networks of 256 is at 0.18 and rising when training ends. The
# recipe is not theirs. Of learning rates 0.0003, 0.001 and 0.003 only the last let a network of two layers of 256
# understand 3,000 additions alone within 3,000 steps, and that chose it, by a rule set before. But with it wide
# networks are unsteady: train accuracy, 1 before, ends at 0.03 to 0.74 in four of nine, and of those of 512 alone one
# knew two thirds and one four fifths on the way and lost it (three of 256 alone were cut at step 1,788, at 0.04, 0.89
# and 0.01). One layer of 256, one network at 0.001 and one at 0.003, memorised and knew nothing else after 10,000
# steps.
#
# And one layer in the usual recipe, `d_h` 64, after 10,000 steps, twin-free accuracy over seeds:

# %% tags=["nbval-check-output"]
usual = gb.analysis.final(gb.load("mixture_recipe", n_layers=1), "twin_free_val_acc").to_series().dropna()
usual.groupby("D_random").agg(["mean", "min", "max", "size"]).round(2)

# %% [markdown]
# The more random pairs, the less of addition there is by then, and beside 3,000 nothing in three of three, where in the
# book's recipe networks of this size keep nine tenths beside 1,000 and a third beside 3,000. But here all is slower:
# one seed took 8,300 steps without any random pairs. So whether memory excludes the rule or only delays it, these runs
# do not tell.

# %% [markdown]
# ## Try it yourself
#
# **1.** The paper's smallest network has one layer of $d_h$ 64, its largest eight of 1,024. How many times as many
# weights is that, with two tasks?

# %% tags=["nbval-check-output"]
answer = None  # a ratio
gb.exercises.check("span", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `gb.RunConfig(task="add+random", d_h=1024, n_layers=8).n_params` over that of `d_h=64, n_layers=1`:
# `answer = 100904960 / 64256`, some 1,570. The paper's number is the span of its own grid: it may say only that the
# largest network did it, not how much larger it had to be.
# </details>
#
# **2.** A network trained on 5,000 additions and 3,000 random pairs knows all of the additions, and its train accuracy
# is 0.79. Which share of the random pairs does it know?

# %% tags=["nbval-check-output"]
answer = None  # a share
gb.exercises.check("random-share", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Of 8,000 pairs it knows 0.79 · 8,000, of which 5,000 are additions: `answer = (0.79 * 8000 - 5000) / 3000`.
# </details>

# %% [markdown]
# ## What is still open here
#
# The paper's larger networks, 2 × 512 aside, and 5,000 or 6,000 random pairs were not trained. An H200 took 25 ms for a
# step of three networks of four layers of 512 beside 3,000 random pairs, and 49 ms for one of eight layers of 1,024, in
# TF32: some 25 minutes for 30,000 steps. On two cores, at six operations a weight and token, 1.5 times what `torch.mm`
# needs for as many (`docs/speed.md`), and the 180 · 10⁹ a second that it reached there at best:

# %% tags=["nbval-check-output"]
largest = recipe.replace(d_h=1024, n_layers=8, D_train=3000, D_random=3000)
a_step = 6 * largest.n_params * largest.n_ctx * (largest.D_train + largest.D_random)
print(f"{largest.n_params:,} weights, {a_step:.1e} operations a step;")
print(f"a step on two cores: {a_step / (1.5 * 180e9):.0f} s; 30,000 steps: "
      f"{30_000 * a_step / (1.5 * 180e9) / 86400:.0f} days")

# %% [markdown]
# - `grokbook sweep mixture_depth --size paper --device cuda` trains the paper's grid, `grokbook sweep emergence --size
#   paper` ours up to `d_h` 512, `grokbook sweep separate_parameters` the halves.
# - A run here ends after 6,000 steps, and beside 3,000 random pairs `d_h` 96 and more still rise then; with usual
#   weights 64 does too, from 14,000 on. So the floor and right shore of the valley will move. How far, if one waits?
# - Depth and width are not the same kind of size, and the paper changes both at once. Which recipe trains four
#   layers, and wide ones, steadily?
# - What is inside such a network? [Chapter 10](10_general_circuit.ipynb) opens one that adds beside 3,000 random pairs.
#
# [← 04 Double descent](04_double_descent.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [06 One model for two curves →](06_pattern_model.ipynb)
