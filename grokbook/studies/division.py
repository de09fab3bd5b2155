"""Studies of modular division with the network of Davies et al. 2022 (App B): two layers, one head, mini-batches.

The paper's text names AdamW with learning rate 1e-3 and weight decay 1e-5; its public code draws batches of
min(512, N/2) and leaves out a tenth of each feed-forward output (dropout), which the text does not say. Its network has
LayerNorm and sinusoidal positions; ours is the book's (`models`), with two layers and one head.
"""

from grokbook.studies.study import Study, chosen, grid

STEPS = 400_000
"""The paper's budget."""

BASE = {"task": "divide", "p": 97, "D_train": 97 * 96 // 2, "n_heads": 1, "n_layers": 2, "batch_size": 512,
        "n_warmup": 0}
"""Half of the table, and what stays the same in all of these runs."""

THEIRS = 1e-5
"""Weight decay of the paper, whose runs are longer than two CPU cores can follow."""

OURS = 0.5
"""Weight decay at which two of three seeds of widths 48 and 64 generalise within ten thousand steps; of narrower ones
single seeds do."""

LAPTOP_STEPS, EARLY_STEPS = 10_000, 1_500


def division(size: str = "paper") -> Study:
    """The paper's network of width 128 with both weight decays and with and without dropout (Fig 1 and 7), five seeds.

    Laptop: three seeds, the first 1,500 steps, in which the shortcut is learned and the training pairs are memorised.
    """
    def runs(n_seeds, n_steps):
        return grid(BASE | {"d_h": 128, "n_steps": n_steps}, weight_decay=(THEIRS, OURS), dropout=(0.0, 0.1),
                    seed=range(n_seeds))
    return Study("division", size, "Davies et al. 2022, Fig 1, 7",
                 chosen(size, {"paper": lambda: runs(5, STEPS), "laptop": lambda: runs(3, EARLY_STEPS)}))


def model_wise(size: str = "paper") -> Study:
    """Networks of growing width (Davies et al. 2022, Fig 4 to 6): 8 to 256, five seeds, both weight decays.

    Laptop: six widths up to 64, three seeds, weight decay 0.5 alone, 10,000 steps.
    """
    def runs(sizes, n_seeds, n_steps, decays):
        return grid(BASE | {"n_steps": n_steps}, weight_decay=decays, d_h=sizes, seed=range(n_seeds))
    return Study("model_wise", size, "Davies et al. 2022, Fig 4 to 6", chosen(size, {
        "paper": lambda: runs((8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256), 5, STEPS, (THEIRS, OURS)),
        "laptop": lambda: runs((8, 16, 24, 32, 48, 64), 3, LAPTOP_STEPS, (OURS,))}))
