"""Studies of double descent: final validation accuracy against the size of the network."""

from grokbook.studies.grokking import LAPTOP_STEPS, STEPS
from grokbook.studies.study import Study, chosen, grid

HIDDEN_SIZES = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 100)
TRAINING_SIZES = (2600, 3000, 4000, 5000)
LAPTOP_HIDDEN_SIZES = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64)


def double_descent(size: str = "paper") -> Study:
    """Fifteen hidden sizes at four sizes of the training set (Huang et al. 2024, Fig 6), eleven seeds.

    Laptop: eleven of the hidden sizes, three seeds, 40,000 steps.
    """
    return Study("double_descent", size, "Huang et al. 2024, Fig 6", chosen(size, {
        "paper": lambda: grid({"n_steps": STEPS}, d_h=HIDDEN_SIZES, D_train=TRAINING_SIZES, seed=range(11)),
        "laptop": lambda: grid({"n_steps": LAPTOP_STEPS}, d_h=LAPTOP_HIDDEN_SIZES, D_train=TRAINING_SIZES,
                               seed=range(3))}))


def harder_task(size: str = "paper") -> Study:
    """The same cut at D_train 3000 for (a + b)² (Huang et al. 2024, Fig 7), eleven seeds; laptop as above."""
    base = {"task": "square", "D_train": 3000}
    return Study("harder_task", size, "Huang et al. 2024, Fig 7", chosen(size, {
        "paper": lambda: grid(base | {"n_steps": STEPS}, d_h=HIDDEN_SIZES, seed=range(11)),
        "laptop": lambda: grid(base | {"n_steps": LAPTOP_STEPS}, d_h=LAPTOP_HIDDEN_SIZES, seed=range(3))}))
