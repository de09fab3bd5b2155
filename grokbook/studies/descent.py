"""Studies of double descent: final validation accuracy against the size of the network."""

from grokbook.studies.grokking import STEPS
from grokbook.studies.study import Study, chosen, grid

HIDDEN_SIZES = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 100)


def double_descent(size: str = "paper") -> Study:
    """Fifteen hidden sizes at four sizes of the training set (Huang et al. 2024, Fig 6), eleven seeds.

    Laptop: every other hidden size up to 48, and 64; D_train 2600, 3000 and 4000; three seeds.
    """
    return Study("double_descent", size, "Huang et al. 2024, Fig 6", chosen(size, {
        "paper": lambda: grid({"n_steps": STEPS}, d_h=HIDDEN_SIZES, D_train=(2600, 3000, 4000, 5000), seed=range(11)),
        "laptop": lambda: grid({"n_steps": STEPS}, d_h=(*HIDDEN_SIZES[:12:2], 64), D_train=(2600, 3000, 4000),
                               seed=range(3))}))


def harder_task(size: str = "paper") -> Study:
    """The same cut at D_train 3000 for (a + b)² (Huang et al. 2024, Fig 7), eleven seeds; laptop as above."""
    base = {"task": "square", "D_train": 3000, "n_steps": STEPS}
    return Study("harder_task", size, "Huang et al. 2024, Fig 7", chosen(size, {
        "paper": lambda: grid(base, d_h=HIDDEN_SIZES, seed=range(11)),
        "laptop": lambda: grid(base, d_h=(*HIDDEN_SIZES[:12:2], 64), seed=range(3))}))
