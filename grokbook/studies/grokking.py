"""Studies of chapter 01 and of the critical size."""

from grokbook.studies.study import Study, chosen, grid

STEPS = 100_000
"""Budget of a run unless its study says otherwise; the paper mentions transitions at 30,000 to 40,000 steps."""

LAPTOP_STEPS = 40_000
"""Budget of a run in the laptop sizes: the last transitions that the paper mentions."""


def grokking(size: str = "paper") -> Study:
    """Two sizes of network at four sizes of training set, five seeds: what chapter 01 shows. Ours, one size.

    Three seeds left the intervals of two claims too wide to judge them; the number was set to five before more ran.
    """
    def runs():
        return grid({"n_steps": 60_000}, d_h=(32, 64), D_train=(2000, 3000, 4000, 5000), seed=range(5))
    return Study("grokking", size, "ours", chosen(size, {"paper": runs, "laptop": runs}))


def critical_size(size: str = "paper") -> Study:
    """Final validation accuracy against D_train for seven hidden sizes (Huang et al. 2024, Fig 3), eleven seeds.

    Laptop: three of the sizes, D_train where the rise is, three seeds, 40,000 steps.
    """
    return Study("critical_size", size, "Huang et al. 2024, Fig 3", chosen(size, {
        "paper": lambda: grid({"n_steps": STEPS}, d_h=(32, 36, 40, 44, 48, 56, 64), D_train=range(2000, 4001, 200),
                              seed=range(11)),
        "laptop": lambda: grid({"n_steps": LAPTOP_STEPS}, d_h=(32, 48, 64),
                               D_train=(2000, 2600, 3000, 3200, 3400, 3600, 4000), seed=range(3))}))
