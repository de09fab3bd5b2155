"""What should be trained: one function a result, each returning a `Study`. Nothing here imports PyTorch.

The default size is the paper's own grid and number of seeds; `size="laptop"` is a declared part of it. Studies share
runs wherever their configs agree, and a shared run is trained once. None of the sources states its number of steps, so
the budget is ours everywhere.

>>> len(critical_size())
847
"""

from grokbook.studies.capacity import capacity, commutative_memory
from grokbook.studies.descent import double_descent, harder_task
from grokbook.studies.division import division, model_wise
from grokbook.studies.grokking import critical_size, grokking
from grokbook.studies.networks import NETWORKS, Network
from grokbook.studies.study import SIZES, Study
from grokbook.studies.zones import four_dynamics, recipe, zone_map

__all__ = ["NETWORKS", "SIZES", "STUDIES", "Network", "Study", "capacity", "commutative_memory", "critical_size",
           "division", "double_descent", "four_dynamics", "grokking", "harder_task", "model_wise", "named", "recipe",
           "zone_map"]

STUDIES = {function.__name__: function for function in (grokking, critical_size, double_descent, harder_task, capacity,
                                                        commutative_memory, zone_map, four_dynamics, recipe, division,
                                                        model_wise)}
"""All studies by name, in the order in which they are best trained."""


def named(name: str, size: str = "paper") -> Study:
    """The study of that name, which may be written with - for _.

    Raises:
        ValueError: there is no such study or size.
    """
    function = STUDIES.get(name.replace("-", "_"))
    if function is None:
        raise ValueError(f"study={name!r} is unknown; valid: {', '.join(STUDIES)}")
    return function(size)
