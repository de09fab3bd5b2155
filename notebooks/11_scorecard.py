# %% [markdown]
# # The scorecard
#
# Every chapter judged what its papers say, one card a claim. Here are all cards together, judged anew from the stored
# runs by the same code, so this page cannot say anything else than the chapters do.
#
# **The question:** what did these papers get right?
#
# [← 10 The general circuit](10_general_circuit.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md)

# %% tags=["parameters"]
paper: str = ""  # the source to show, such as Davies et al. 2022; empty for all

# %%
import grokbook as gb

cards = gb.claims.judge_all(paper)
gb.plots.verdicts(cards)

# %% [markdown]
# *Reproduced* and *not reproduced* are verdicts of rules that can give either; *partly* means that a part of the claim
# holds. Two words are no verdicts: *undecided*, where an interval holds both answers, and *not yet measured*, where
# there are too few runs to ask. A claim that fails here fails with our settings, of which the papers leave many open
# (chapter 03 changes some of them).
#
# ## All claims
#
# A click on the head of a column sorts by it, and the choices above the table filter it, in the HTML book and, once it
# was run, in JupyterLab. Behind *measured* stand all numbers of a card, behind *settings* what is ours, and behind
# *rule* what was changed in the rule after its data had been seen, and what was known by then. A rule that changed late
# deserves less trust; that is why it says so.

# %% tags=["nbval-check-output"]
gb.widgets.Scorecard(cards)

# %% [markdown]
# ## What it would take
#
# The claims that are open, and the studies that they rest on: how many runs of a laptop's grid and of the paper's own
# are not stored, each of so many steps. `grokbook sweep STUDY` trains those of the first, with `--size paper` those of
# the second. Where a laptop's grid is complete, it was not enough. More seeds narrow an interval; they do not promise a
# verdict.

# %% tags=["nbval-check-output"]
gb.claims.lacking(cards)

# %% [markdown]
# ## A page to quote
#
# What the sources say, under what became of it. `print(gb.claims.summary(cards))` gives the text itself;
# `CITATION.cff` says how to cite it.

# %% tags=["nbval-check-output"]
from IPython.display import Markdown

Markdown(gb.claims.summary(cards))

# %% [markdown]
# ## Try it yourself
#
# **1.** Suppose that every claim were judged by a 95 % interval and that nothing in any of them were true. How many of
# the book's claims would then come out on the wrong side by chance alone? (`gb.claims.CLAIMS` holds them all.)

# %% tags=["nbval-check-output"]
answer = None  # a number of claims
gb.exercises.check("by chance", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 0.05 * len(gb.claims.CLAIMS)`. So a single surprising verdict is weak evidence, and a table of
# them is worth more than any of its rows.
# </details>
#
# **2.** Sort the table by *rule*. Are rules that changed after data were seen kinder to their claims than those that
# stand as first written?

# %% [markdown]
# ## What is still open here
#
# - Verdicts count claims as if they weighed the same; they do not.
# - Claims share runs: those of one study fall together if its settings are wrong.
# - Where no number of steps is stated in a paper, ours may be too few: *not reproduced* can mean *not yet*.
#
# [← 10 The general circuit](10_general_circuit.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md)
