# %% [markdown]
# # Efficiency
#
# Why would a network that knows all its training pairs by heart bother to understand them? Varma et al. (2023) answer:
# because it is *cheaper*. Weight decay charges for weight. Memory needs more of it for every further pair, the rule
# needs the same for all. A report, *Towards Understanding the Mystery behind Grokking Phenomenon*, tests this on small
# networks, and with it a second condition: the memory has to be learned *faster*, or nobody would ever see it.
#
# **The question:** are speed and cost enough to make grokking, and do they foretell when it happens?
#
# [← 08 Other networks](08_other_networks.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [10 The general circuit →](10_general_circuit.ipynb)

# %% [markdown]
# ## Two frozen networks and four weights
#
# Take a network that memorised and one that understood, and freeze both. Mix their logits,
#
# $$w_{m1} w_{m2} \cdot \text{memory} + w_{g1} w_{g2} \cdot \text{rule},$$
#
# and train these four numbers, nothing else. Start with $w_{m1} = w_{g1} = 0$. Then $w_{m2}$ and $w_{g2}$ are speeds:
# what $w_{m1}$ learns is multiplied by $w_{m2}$, and so is its gradient, so the memory's share grows $w_{m2}^2$ times
# as fast at first. The report starts $(w_{m2}, w_{g2})$ at $(10, 1)$ and sees grokking; at $(1, 1)$ it sees none.
#
# The networks here are transformers of the book: one (`d_h` 32) that knows 2,600 pairs and nothing else, and one
# (`d_h` 64) that grokked on 5,000. The report says nothing of its optimiser; ours is plain gradient descent with weight
# decay, in steps so small that only the time counts, which is learning rate times steps.

# %% tags=["parameters"]
w_m2: float = 10  # speed of the memory, that of the rule being 1: 1, 1.5, 2, 3, 5, 7, 10, 15 or 20
budget: int = 40_000  # steps after which runs of chapter 03 are looked at

# %% [markdown]
# ## Mix it yourself
#
# Every move of the slider trains the mixture anew, in about a second (36 moves took 0.8 to 1.8 seconds each, on one
# thread of a busy AMD EPYC, Zen 3). Go to 1 and back. Then untick the box.

# %%
import grokbook as gb

gb.widgets.MixtureExplorer(w_m2)

# %% [markdown]
# ## What the report shows, and what it takes
#
# Both starts, twice: on the left as the box has it, on the right with the networks as they are.

# %%
efficiency = gb.analysis.efficiency
networks = {"by norm": efficiency.frozen(), "as they are": efficiency.frozen(by_norm=False)}
mixtures = {f"({speed}, 1), {name}": efficiency.train_mixture(pair, speed) for name, pair in networks.items()
            for speed in (10, 1)}
gb.plots.mixture_panels(mixtures)

# %% [markdown]
# On the left is the report's Figure 5. From $(10, 1)$ the training loss is gone at once, by memory alone. The
# validation loss goes *up*, for memory is confidently wrong about new pairs; only much later does it fall. From
# $(1, 1)$ both losses go down together. Same networks, same loss, same decay: what differs is who was quick.
#
# On the right the second act stops halfway: from either start the two come to share the work, and validation loss stays
# near 3.5. The reason is in the freezing. A frozen network costs nothing; decay falls on the four weights, and to those
# a memory of weight norm 47 is as dear as a rule of norm 31. So for the picture on the left each network's logits were
# divided by its squared norm (squared, since a product of two weights costs like a square). Per squared norm the rule
# does nearly three times as much. *That* is the efficiency of the explanation, and in this experiment it has to be put
# in by hand.
#
# How quick must memory be? And is one rule as good as another? Here are three, seeds of one cell that grokked:

# %%
import pandas as pd

rules = ("grokked", "grokked-1", "grokked-2")
scan = [{"w_m2": speed, "pair": rule} | efficiency.told(efficiency.train_mixture(pair, speed))
        for rule in rules for pair in [efficiency.frozen(general=rule)] for speed in (1, 1.5, 2, 3, 5, 10, 20)]
gb.plots.mixture_scan(pd.DataFrame(scan))

# %% [markdown]
# Up to $w_{m2} = 3$ there is no rise, though the memory's share then grows nine times as fast; from 5 on there is one,
# in every pair. So not any difference in speed will do, but a large one does. Where the loss *ends* depends little on
# the speed: all starts come to rest at nearly the same mixture. It does depend on the rule. The second and third
# network stopped training sooner and carry more norm (chapter 10 shows what training still cleans up). A squared norm
# buys them less of a margin over the next best answer (in the median 0.69, 0.58 and 0.48), and more of the memory
# stays.

# %% tags=["nbval-check-output"]
gb.claims.judge("training-efficiency")

# %% [markdown]
# ## What memory costs
#
# The other half is measured on networks that nobody froze. Below are the runs of chapter 03, where they ended: their
# norm, and what they got for it, the *log odds* of the right answer on training pairs, which is its logit above those
# of all others together.

# %%
maps = gb.load("zone_map", budget)
costs = {f"d_h {d_h}": efficiency.costs_by_run(maps.sel(d_h=[d_h])) for d_h in (32, 64)}
gb.plots.circuit_costs(costs | {"feed-forward, d_h 32": efficiency.costs_by_run(gb.load("efficiency", p=59))})

# %% [markdown]
# Memory's bill rises with the pairs, and in the small network it buys less and less. The rule's need not: where blue
# rises, with `d_h` 64, runs stopped sooner.
#
# Now the number. If cost decided, a network should leave memory where the violet line crosses the blue one. But at
# 1,000 pairs violet is above the blue of runs that trained for long already, for odds that are no better; and the
# networks with `d_h` 64 start to grok at about 3,400 (chapter 03). In between memory is dearer and stays. *Cheaper*
# says where training would like to go. It does not say that it gets there within the steps that anybody waited.
#
# For a number, networks have to be compared at the same odds. In a feed-forward network a norm $s$ times as large gives
# $s^4$ times the logits (two layers, embedding and unembedding), so every run can be brought to the same odds:

# %% tags=["nbval-check-output"]
gb.claims.judge("model-efficiency")

# %% [markdown]
# What memory needs grows with the pairs in every seed. For the rule three seeds do not even tell the sign of the slope,
# and so only a part of the report's statement is seen.
#
# ## Back again
#
# If memory is the cheaper one on few pairs, then a network that has understood, trained on with *few* pairs, should
# unlearn: **ungrokking**. The report sees it in all three kinds of network (Fig 7), and in feed-forward networks under
# every weight decay (Fig 8). Networks that had grokked, given 2 to 3 % of the table from then on
# (300 pairs of 12,769, 104 of 3,481):

# %%
retrained = gb.load("retrained")
of_kinds = {name: gb.load("ungrokking", architecture=kind, D_train=104, weight_decay=1.0)
            for name, kind in (("transformer,<br>two layers", "transformer"), ("LSTM", "lstm"), ("MLP", "mlp"))}
gb.plots.unlearning({"transformer,<br>one layer": retrained.sel(D_train=300)} | of_kinds)

# %% tags=["nbval-check-output"]
gb.claims.judge("ungrokking")

# %% [markdown]
# All of them lose the rule and keep their few pairs. The same feed-forward networks under three weight decays:

# %%
again = gb.load("ungrokking", architecture="mlp", D_train=104)
gb.plots.unlearning({f"decay {decay:g}": again.sel(weight_decay=decay) for decay in again["weight_decay"].values})

# %% tags=["nbval-check-output"]
gb.claims.judge("ungrokking-any-decay")

# %% [markdown]
# The decay sets the pace: three times the decay, about a third of the steps. On 12 % of its table a feed-forward
# network kept the rule. So it is the number of pairs that decides, as the report says.
#
# ## Two borders on one axis
#
# So a network may come to the rule from some number of pairs on, and lose it again below some number. Were cost all
# that counts, these would be one number, where the two costs are the same. Both are measured on transformers of one
# layer, `d_h` 64, in the book's recipe: filled dots begin from scratch, open ones know the rule, from 5,000 pairs of
# which these are a part.

# %%
gb.plots.costs_by_size(gb.load("few_pairs"), retrained)

# %% tags=["nbval-check-output"]
gb.claims.judge("complexity-curves")

# %% tags=["nbval-check-output"]
gb.claims.judge("two-way-critical-size")

# %% tags=["nbval-check-output"]
gb.claims.judge("efficiency-crossing")

# %% [markdown]
# They are two numbers, far apart; such a difference between the way up and the way down is called *hysteresis*. Cost
# foretells the way *down*: networks that know the rule keep most of it on 1,000 pairs, on which none finds it, and
# forget it on 300, near where memory becomes the cheaper one. On the way *up* memory has long been the dearer one
# before any network leaves it, so what is cheaper does not decide. What would refute this: networks from scratch that
# grok on 1,000 pairs, given time, or retrained ones that forget all of it there.
#
# ## The report's figures and ours
#
# - **5.** As in the report, from (10, 1) and not from (1, 1), where each network costs its norm, with one rule of
#   three; with the others validation loss ends at 0.5 and 1.1. Where networks do not cost their norm, it stays high. A
#   frozen network costs nothing, and the report does not say how it charges for one.
# - **6.** Memory's norm rises with the pairs, as in the report. The rule's slope may have either sign: three seeds
#   generalise at two sizes only.
# - **7, 8.** No difference: every network of ours unlearns on 2 to 3 % of its table, feed-forward ones at any of three
#   decays.
#
# ## Try it yourself
#
# **1.** The memory starts from $w_{m2} = 7$. How many times as fast as from 1 does its share of the mixture,
# $w_{m1} w_{m2}$, grow at first?

# %% tags=["nbval-check-output"]
answer = None  # a factor
gb.exercises.check("quicker", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 7**2`: the gradient of $w_{m1}$ has a factor $w_{m2}$, and so has what it does to the product.
# </details>
#
# **2.** Per squared norm, how many times as far above the others does the rule put the right answer, on the memory's
# own training pairs?

# %% tags=["nbval-check-output"]
answer = None  # a factor
gb.exercises.check("cheaper", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = -gb.analysis.efficiency.frozen().train.general.mean()`: in units in which the memory's answers lie 1 above
# the mean.
# </details>
#
# **Further:** start the *rule* faster, `efficiency.train_mixture(efficiency.frozen(), 1, 10)`. Is there still memory in
# the end?

# %% [markdown]
# ## What is still open here
#
# - Four weights are no network. The mixture shows that speed and cost *can* make grokking, not that they do.
# - Cost is judged where runs ended, and runs that generalised stopped early, before decay had finished with them.
# - Why is the border at about four to five times the pairs at which memory becomes the dearer one? What holds a network
#   there is not its cost; perhaps it is the way, along which everything must first get worse.
#
# [← 08 Other networks](08_other_networks.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [10 The general circuit →](10_general_circuit.ipynb)
