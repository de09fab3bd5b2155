"""Studies of memorisation: networks that are given random labels, which leave nothing to understand."""

from grokbook.studies.study import Study, chosen, grid

STEPS = 40_000
"""Budget; the paper states none. A network at its capacity improves ever more slowly, and the book shows how far."""

HIDDEN_SIZES = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64)
"""Ours: the sizes of the other figures. Figure 4 does not name its own."""

LAPTOP_HIDDEN_SIZES = (4, 8, 12, 16, 20, 24, 32, 40)


def capacity(size: str = "paper") -> Study:
    """How many of all 12,769 pairs a network learns when labels are random but symmetric (Huang et al. 2024, Fig 4).

    Three seeds. Laptop: eight of the hidden sizes, half the steps.
    """
    return Study("capacity", size, "Huang et al. 2024, Fig 4", chosen(size, {
        "paper": lambda: _all_pairs("random", HIDDEN_SIZES, STEPS),
        "laptop": lambda: _all_pairs("random", LAPTOP_HIDDEN_SIZES, STEPS // 2)}))


def commutative_memory(size: str = "paper") -> Study:
    """The same with labels that obey commutativity and with labels that do not (Huang et al. 2024, footnote 3)."""
    tasks = ("random", "random-ordered")
    return Study("commutative_memory", size, "Huang et al. 2024, footnote 3", chosen(size, {
        "paper": lambda: sum((_all_pairs(task, HIDDEN_SIZES, STEPS) for task in tasks), ()),
        "laptop": lambda: sum((_all_pairs(task, LAPTOP_HIDDEN_SIZES[1::2], STEPS // 2) for task in tasks), ())}))


def _all_pairs(task, hidden_sizes, n_steps):
    return grid({"task": task, "D_train": 113**2, "n_steps": n_steps}, d_h=hidden_sizes, seed=range(3))
