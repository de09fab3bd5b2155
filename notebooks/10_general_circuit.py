# %% [markdown]
# # The general circuit
#
# Chapter 01 spoke of a circuit that computes the sum rather than remembering it. What does it look like? For modular
# addition the answer can be read from the weights, as Nanda et al. (2023) showed.
#
# **The question:** what is inside a network that has grokked, when did it come about, and do other networks have it?
#
# [← 09 Efficiency](09_efficiency.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [11 The scorecard →](11_scorecard.ipynb)

# %% [markdown]
# ## Adding on a clock
#
# Turn a number into an angle, $a \mapsto wa$ with $w = 2\pi k / 113$. Going round the circle is going round modulo 113.
# Trigonometry adds angles, $\cos w(a+b) = \cos wa \cos wb - \sin wa \sin wb$, and each answer $c$ gets the vote $\cos
# w(a + b - c)$, largest at the right one. One frequency $k$ barely prefers it to its neighbours; a few together do. So
# a network of this kind should have a few *[key frequencies](glossary.md#key-frequencies)*, in its embedding, its
# neurons and its logits.

# %% tags=["parameters"]
name: str = "grokked"  # the network to look at: grokked, mid-leap, ungrokked, progression or mixture
a: int = 37  # first number of a sum to follow, from 0 to 112
b: int = 95  # second number

# %% tags=["nbval-check-output"]
import grokbook as gb

circuit = gb.analysis.circuit
steps = circuit.stored(name)
print(f"{name}: weights at {len(steps)} steps, {min(steps):,} to {max(steps):,}")

# %% [markdown]
# ## Which frequencies
#
# One network of each zone (chapter 03) and one that adds beside 3,000 random pairs (chapter 05, `mixture`), at its last
# stored step. A frequency is *key* if it holds three times its even share of the embedding's power.

# %%
gb.plots.circuit_spectra()

# %% tags=["nbval-check-output"]
circuit.compare().drop(columns=["train_loss", "val_loss"]).astype(float).round(3).astype({"n_keys": int})

# %% [markdown]
# `embedding`, `unembedding` and `logits` are the shares of each network's own key frequencies, `neurons` the share of
# neurons that one of them explains nearly alone. Two losses ask what the circuit is good for. *[Restricted
# loss](glossary.md#restricted-loss)* keeps the key frequencies of $a + b$ in the logits and nothing else; *[excluded
# loss](glossary.md#excluded-loss)* takes them away. Guessing costs $\ln 113 = 4.73$ nats. The eight networks that
# grokked, seeds of one cell, agree: two to five key frequencies, not the same ones, solve the task alone and cannot be
# missed. The ungrokked network has none, so for it both losses say nothing new.
#
# Is partial understanding a partial circuit? In these three, one network each, it is, and not of one kind. The network
# in mid-leap holds two frequencies that *would* answer nearly every pair (restricted loss next to 0); what spoils its
# validation answers lies beside them. The progression network, too small to memorise, put most of its embedding into
# two, which do not suffice. The mixture answers nearly all new additions, and not without its three (excluded loss);
# but they hold half of its embedding and not one neuron to themselves.

# %% [markdown]
# ## A sum on the clocks
#
# Follow one pair through the network. On the clock of each key frequency $a$ and $b$ are hands, and their angles add up
# to that of $a + b$. Each clock votes for every answer by how near it lies to that hand. One clock has many answers
# near it; only the right one is near on all clocks, and there the votes agree.

# %%
gb.plots.circuit_clock(a, b, name=name)

# %% [markdown]
# ## When it comes about
#
# Now along the training of one network, with the key frequencies of its end.

# %%
along = circuit.along_training(name)
gb.plots.circuit_growth(along, name=name)

# %% [markdown]
# A network of chapter 01 (64 and 5,000 pairs) in three phases, parted where excluded loss turns. It falls while pairs
# are learned by heart: *memorising*. It rises while their answers come to rest on the circuit: the circuit *forms*. At
# first the loss on new pairs shows nothing of that: until step 1,259 it stays worse than guessing, though a fifth of
# them are right by then, while restricted loss, which asks the circuit alone, falls to 0.03 nats. Then validation loss
# drops too. At last excluded loss falls, as the shares go on growing: the *[clean-up](glossary.md#clean-up)*, in which
# weight decay removes what the circuit does not need. Nanda et al. see the leap of validation accuracy in the clean-up;
# here three of four new pairs are right before it begins.
#
# Move *step* and see the parts of it grow together; `a`, `b` and `k` choose a sum and the clock to look at.

# %%
gb.widgets.CircuitExplorer(name, a=a, b=b)

# %% tags=["nbval-check-output"]
gb.claims.judge("general-circuit")

# %% [markdown]
# What keeps the verdict from *reproduced* is the neurons: in one of the three networks fewer than half are tiled by
# one frequency. These runs stop once every accuracy is settled, and above the share of such neurons still grows then.
#
# ## Before anyone can see it?
#
# If the circuit forms while accuracy is still at chance, its frequencies should be there before. Eight seeds have
# weights from their early steps. The rule below was written before any but the first had been looked at; with five it
# had decided nothing, and three more were trained.

# %% tags=["nbval-check-output"]
gb.claims.judge("frequencies-first")

# %% [markdown]
# Seven of eight seeds have half of their later frequencies or more before they answer, as Nanda et al. say, though
# three of them have just half and only one has all: networks still choose while accuracy rises. The seed with one in
# four is the slowest: it leaves chance long after the last of these steps.
#
# ## Can $D_{crit}$ be told from that?
#
# All eight grok. To foretell who does takes networks that never do: two sizes on 2,000 to 4,000 pairs, of which the
# embeddings at steps 200 and 1,000 were kept. Nobody knows then which frequencies will be key, so the six strongest are
# asked how much of the power they hold. The rule was written before any of these embeddings had been trained.

# %% tags=["nbval-check-output"]
gb.claims.judge("early-frequencies")

# %% [markdown]
# In part, and astonishingly early. At step 200, when no new pair is answered and networks near the border have tens of
# thousands of steps before them, a network that will come to understand has the more concentrated embedding in nine of
# ten comparisons, and the share that parts one size's networks tells the other's $D_{crit}$ to within 200 pairs. But
# more pairs alone might concentrate an embedding, and the two sizes have nearly the same $D_{crit}$, so that counting
# pairs would tell it as well. What counting cannot do is to part networks that differ in nothing but the seed: of those
# it comes out the same in 0.88 of comparisons, yet there are only four such cells, too few to exclude chance. By step
# 1,000 the order is as good and the threshold no longer carries over from size to size.
#
# ## Try it yourself
#
# **1.** How many frequencies are there to choose from for p = 113, if $k$ and $-k$ count as one?

# %% tags=["nbval-check-output"]
answer = None  # a number of frequencies
gb.exercises.check("frequencies", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 113 // 2`: frequencies $1$ to $56$.
# </details>
#
# **2.** A network votes with $k = 1$ alone. How much less than the right answer's vote, which is 1, do its neighbours
# $c \pm 1$ get? (Other frequencies only swap which answers are close.)

# %% tags=["nbval-check-output"]
answer = None  # a difference of votes
gb.exercises.check("margin", answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 1 - 0.998455`, which is $1 - \cos(2\pi / 113)$: very little, so it takes large weights or more frequencies.
# </details>

# %% [markdown]
# ## What is still open here
#
# - Losses along training are of one network; the first claim rests on three seeds that grokked and one that did not.
# - Restricted loss is not blind to memory: pairs known by heart are right about $a + b$ too, on an average over pairs.
# - What early frequencies foretell hangs on four cells in which seeds part; more seeds between 3,200 and 3,600 pairs
#   would decide it. `grokbook weights` trains those that the book keeps.
#
# [← 09 Efficiency](09_efficiency.ipynb) ·
# [Contents](00_explore.ipynb) ·
# [Glossary](glossary.md) ·
# [11 The scorecard →](11_scorecard.ipynb)
