"""Studies of the four zones: the map over size and data, one run in each zone, and other recipes."""

from grokbook.studies.descent import HIDDEN_SIZES, LAPTOP_HIDDEN_SIZES
from grokbook.studies.grokking import LAPTOP_STEPS, STEPS
from grokbook.studies.study import Study, chosen, grid

EXAMPLES = {"progression": (8, 3000), "ungrokking": (32, 2600), "grokking": (64, 3000), "semi-grokking": (32, 3000)}
"""The cell (d_h, D_train) that the paper shows for each zone."""

CHANGES = ({"lr": 3e-4}, {"lr": 3e-3}, {"weight_decay": 0.3}, {"weight_decay": 3.0}, {"init_scale": 0.5},
           {"init_scale": 2.0}, {"loss": "plain"})
"""Other recipes, one setting changed at a time."""


def zone_map(size: str = "paper") -> Study:
    """The atlas: fifteen hidden sizes by twenty-six training sizes (Huang et al. 2024, Fig 1, there a sketch).

    Three seeds, ours. Laptop: eleven hidden sizes by eight, two seeds, 40,000 steps.
    """
    return Study("zone_map", size, "Huang et al. 2024, Fig 1", chosen(size, {
        "paper": lambda: grid({"n_steps": STEPS}, d_h=HIDDEN_SIZES, D_train=range(1000, 6001, 200), seed=range(3)),
        "laptop": lambda: grid({"n_steps": LAPTOP_STEPS}, d_h=LAPTOP_HIDDEN_SIZES,
                               D_train=(1000, 2000, 2600, 3000, 3400, 4000, 5000, 6000), seed=range(2))}))


def four_dynamics(size: str = "paper") -> Study:
    """One cell a zone (Huang et al. 2024, Fig 2, 5, 9): progression with five seeds, the others with five as well.

    Laptop: three seeds of each, but all five of progression, 40,000 steps.
    """
    def runs(n_seeds, n_steps):
        return tuple(run for d_h, D_train in EXAMPLES.values()
                     for run in grid({"d_h": d_h, "D_train": D_train, "n_steps": n_steps},
                                     seed=range(5 if d_h == 8 else n_seeds)))
    return Study("four_dynamics", size, "Huang et al. 2024, Fig 2, 5, 9",
                 chosen(size, {"paper": lambda: runs(5, STEPS), "laptop": lambda: runs(3, LAPTOP_STEPS)}))


def recipe(size: str = "paper") -> Study:
    """A coarse map under other learning rates, weight decays, initial scales and the plain loss. Ours.

    One setting is changed at a time. Laptop: the four example cells only, two seeds, 40,000 steps. Paper size: those
    and sixteen cells with three seeds.
    """
    def coarse(change):
        return grid(change | {"n_steps": STEPS}, d_h=(8, 16, 32, 64), D_train=(2000, 3000, 4000, 5000), seed=range(3))

    def examples(change, n_steps):
        return tuple(run for d_h, D_train in EXAMPLES.values()
                     for run in grid(change | {"d_h": d_h, "D_train": D_train, "n_steps": n_steps}, seed=range(2)))
    return Study("recipe", size, "ours", chosen(size, {
        "paper": lambda: tuple({run.run_id: run for change in CHANGES
                                for run in examples(change, STEPS) + coarse(change)}.values()),
        "laptop": lambda: sum((examples(change, LAPTOP_STEPS) for change in CHANGES), ())}))
