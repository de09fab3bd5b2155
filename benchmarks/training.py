r"""Speed of the training engines beside the loop that everyone writes, on this machine.

    python benchmarks/training.py                          # the full table, about 20 minutes on two cores
    python benchmarks/training.py --d-h 64 --D-train 3000 --models 1 --repeats 3
    python benchmarks/training.py --device cuda --models 77
    python benchmarks/training.py --architecture transformer --architecture lstm --architecture mlp --layers 2 --p 59 \
        --D-train 1740 --d-h 32 --models 1 --fresh-only --no-compile                  # the networks of chapter 08
    python benchmarks/training.py --task add+random --D-random 1000 --D-train 1000 --d-h 256 --d-h 512 --layers 1 \
        --layers 2 --layers 4 --models 1 --repeats 3 --fresh-only --no-compile       # the networks of chapter 05

Every contender does the same work, full-batch AdamW on the same networks. For one cell of the table they take turns,
`repeats` times, so that a slow moment of the machine meets all of them; the median is printed with the range.
Compilation and warm-up come before. The column *memorised* has the same steps of networks that know their pairs (train
loss below 1e-6), whose gradients hold subnormal numbers, with a learning rate of 0 so that they stay so; "–" where none
of that size got there in a few thousand steps, or the network is no one-layer transformer.

Printed, as a table in Markdown: milliseconds a model-step, times faster than the usual loop, and the share of the
machine's own float32 matrix rate (`torch.mm` of 1024 × 1024 on as many threads, of 8192 × 8192 on a GPU, which smaller
ones do not fill), counting the matrix products that `products` says, three times an example: forward, and back for
inputs and for weights. All of it is float32; TF32 stays off, in cuDNN too.
"""

import json
import math
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise, product

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from grokbook import RunConfig, models, tasks
from grokbook.training import able, engine_named

Advance = Callable[[int], None]
SIZES, TRAIN_SIZES, COHORTS = (8, 16, 32, 64, 100), (1000, 3000, 6000), (1, 8)

COLUMNS = ("network", "layers", "d_h", "D_train", "models", "engine", "ms a model-step", "memorised", "faster",
           "matrix rate")
"""What `_line` prints of a row."""

MEMORISED, MEMORISING_STEPS = 1e-6, 4000
"""Train loss below which a network knows its pairs, and the most steps that it is given to."""


class UsualLayer(nn.Module):
    """Attention and feed-forward at every position."""

    def __init__(self, d: int, n_heads: int):
        super().__init__()
        self.n_heads, self.d_head = n_heads, d // n_heads
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, n_ctx, d = x.shape
        q, k, v = self.qkv(x).view(batch, n_ctx, 3, self.n_heads, self.d_head).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.d_head)
        hidden = torch.ones(n_ctx, n_ctx, dtype=torch.bool, device=x.device).triu(1)
        z = scores.masked_fill(hidden, -math.inf).softmax(-1) @ v
        x = x + self.out(z.transpose(1, 2).reshape(batch, n_ctx, d))
        return x + self.down(F.relu(self.up(x)))


class UsualTransformer(nn.Module):
    """The same network as it is commonly written: every position through attention, layer and unembedding."""

    def __init__(self, config: RunConfig):
        super().__init__()
        d = config.d_h
        self.embed, self.position = nn.Embedding(config.d_vocab, d), nn.Parameter(torch.empty(config.n_ctx, d))
        self.layers = nn.Sequential(*(UsualLayer(d, config.n_heads) for _ in range(config.n_layers)))
        self.unembed = nn.Linear(d, config.d_vocab, bias=False)
        for weight in self.parameters():
            nn.init.normal_(weight, std=1 / math.sqrt(d))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.unembed(self.layers(self.embed(tokens) + self.position))


class UsualLSTM(nn.Module):
    """The same memory cells as PyTorch has them, every position unembedded."""

    def __init__(self, config: RunConfig):
        super().__init__()
        self.embed = nn.Embedding(config.d_vocab, config.d_h)
        self.lstm = nn.LSTM(config.d_h, config.d_h, config.n_layers, bias=False, batch_first=True)
        self.unembed = nn.Linear(config.d_h, config.d_vocab, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.unembed(self.lstm(self.embed(tokens))[0])


class UsualMLP(nn.Module):
    """The same feed-forward network; its answer stands where the others have their last position."""

    def __init__(self, config: RunConfig):
        super().__init__()
        self.embed = nn.Embedding(config.d_vocab, config.d_h)
        sizes = [(config.n_ctx - 1) * config.d_h] + config.n_layers * [config.d_mlp]
        layers = [nn.Sequential(nn.Linear(*pair, bias=False), nn.ReLU()) for pair in pairwise(sizes)]
        self.layers = nn.Sequential(*layers, nn.Linear(config.d_mlp, config.d_vocab, bias=False))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layers(self.embed(tokens[:, :-1]).flatten(1))[:, None]


USUAL = {"transformer": UsualTransformer, "lstm": UsualLSTM, "mlp": UsualMLP}


def products(c: RunConfig) -> int:
    """Multiplications by weights that the answer to one example takes, read at the last position.

    One layer of a transformer counts without keys and values, which no engine computes for every row, but with the
    products that the fused pass folds away (docs/fused.md, 6): its share can pass 100 %. The others count as the plain
    network does, whose last layer answers at the last position alone, less the first state of an LSTM, which is zero:
    what their first layer does with a token could be tabulated too, so shares compare engines, not kinds of network.
    """
    d, unembed = c.d_h, (c.d_mlp if c.architecture == "mlp" else c.d_h) * c.d_vocab
    if c.architecture == "mlp":
        return c.n_params - c.d_h * c.d_vocab
    if c.architecture == "lstm":
        return c.n_layers * (8 * c.n_ctx - 4) * d**2 + unembed
    deep = (c.n_layers - 1) * 12 * c.n_ctx + 2 * c.n_ctx + 1 if c.n_layers > 1 else 0
    return (9 + deep) * d**2 + unembed


@dataclass(frozen=True)
class Row:
    """One contender in one cell: milliseconds a model-step over the repeats, and what follows from the median."""

    architecture: str
    n_layers: int
    engine: str
    d_h: int
    D_train: int
    n_models: int
    median_ms: float
    least_ms: float
    most_ms: float
    memorised_ms: float
    times_faster: float
    share_of_matrix_rate: float


def usual_weights(weights: Mapping[str, np.ndarray], config: RunConfig) -> dict[str, torch.Tensor]:
    """Our weights under the names and in the layouts of the usual network."""
    w = {name: torch.tensor(value) for name, value in weights.items()}
    named = {"embed.weight": w["W_E"], "unembed.weight": w["W_U"].T}
    for k in range(config.n_layers):
        own = {name.rpartition(".")[2]: value for name, value in w.items() if name.startswith(f"layers.{k}.")}
        if config.architecture == "transformer":
            queries, keys, values = (own[name].transpose(1, 2).flatten(0, 1) for name in ("W_Q", "W_K", "W_V"))
            named |= {f"layers.{k}.qkv.weight": torch.cat([queries, keys, values]), "position": w["W_pos"],
                      f"layers.{k}.out.weight": own["W_O"].flatten(0, 1).T, f"layers.{k}.up.weight": own["W_in"].T,
                      f"layers.{k}.down.weight": own["W_out"].T}
        elif config.architecture == "lstm":
            named |= {f"lstm.weight_ih_l{k}": own["W_x"].T, f"lstm.weight_hh_l{k}": own["W_h"].T}
        else:
            named |= {f"layers.{k}.0.weight": own["W"].T}
    if config.architecture == "mlp":
        named[f"layers.{config.n_layers}.weight"] = named.pop("unembed.weight")
    return named


def usual_loop(configs: list[RunConfig], start: np.ndarray, device: str, compiled: bool) -> Advance:
    """nn.Module, autograd, torch.optim.AdamW, one network after another."""
    trainers = [_usual_step(c, theta, device, compiled) for c, theta in zip(configs, start, strict=True)]

    def advance(n_steps: int) -> None:
        for step in trainers:
            for _ in range(n_steps):
                step()

    return advance


def _usual_step(config: RunConfig, start: np.ndarray, device: str, compiled: bool) -> Callable[[], None]:
    table, split = tasks.table(config), tasks.split(config)
    tokens = torch.as_tensor(table.tokens[split.train], device=device)
    labels = torch.as_tensor(table.labels[split.train], device=device)
    network = USUAL[config.architecture](config).to(device)
    network.load_state_dict(usual_weights(models.unflatten(start, config), config))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay,
                                  betas=(0.9, config.beta2))
    forward = torch.compile(network) if compiled else network

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(forward(tokens)[:, -1], labels).backward()
        optimiser.step()

    return step


def engine_advance(name: str, configs: list[RunConfig], start: np.ndarray, device: str, threads: int) -> Advance:
    """One of ours, on the same configs and as many threads."""
    options = {"n_threads": threads} if name in ("fused", "autograd") else {}
    return engine_named(name)(configs, start, device, **options).advance


def contenders(configs: list[RunConfig], start: np.ndarray, device: str, threads: int,
               with_compiled: bool) -> dict[str, Advance]:
    """All that can train these configs, from these weights (member, n_params); the usual loop comes first."""
    torch._dynamo.reset()  # which gives up compiling after eight sizes of one function
    advances = {"usual": usual_loop(configs, start, device, False)}
    if with_compiled:
        advances["usual compiled"] = usual_loop(configs, start, device, True)
    return advances | {name: engine_advance(name, configs, start, device, threads)
                       for name in able(configs[:1], torch.device(device))}


def initial(configs: list[RunConfig]) -> np.ndarray:
    """Fresh weights, (member, n_params)."""
    return np.stack([models.flatten(models.initial_weights(c), c) for c in configs])


def memorised(configs: list[RunConfig]) -> np.ndarray | None:
    """Weights of networks that know their pairs, (member, n_params), or None if that takes too long."""
    if "fused" not in able(configs[:1], torch.device("cpu")):
        return None
    quick = [c.replace(lr=3e-3, weight_decay=0.0) for c in configs]
    engine = engine_named("fused")(quick, initial(configs))
    for _ in range(MEMORISING_STEPS // 100):
        engine.advance(100)
        if engine.evaluate()["train_loss"].max() < MEMORISED:
            return np.stack([engine.weights(k) for k in range(len(configs))])
    return None


def matrix_rate(device: str) -> float:
    """FLOP/s of a large float32 matrix product here, the best of ten; TF32 stays off, as for the engines."""
    size = 8192 if device.startswith("cuda") else 1024
    a = torch.randn(size, size, device=device)

    def multiply(n_times: int) -> None:
        for _ in range(n_times):
            torch.mm(a, a)

    return 2 * size**3 / min(_seconds(multiply, 3, device) / 3 for _ in range(10))


def measure(configs: list[RunConfig], fresh: dict[str, Advance], known: dict[str, Advance], repeats: int,
            seconds: float, device: str) -> list[Row]:
    """Time the contenders in turn, on fresh networks and on those that know their pairs; the first is the measure."""
    steps, times, rates = {}, defaultdict(list), []
    runs = {(name, kind): advance for kind, advances in (("fresh", fresh), ("known", known))
            for name, advance in advances.items()}
    for run, advance in runs.items():
        advance(2)
        steps[run] = max(1, int(seconds / _seconds(advance, 2, device) * 2))
    for _ in range(repeats):
        rates.append(matrix_rate(device))
        for run, advance in runs.items():
            times[run].append(1e3 * _seconds(advance, steps[run], device) / steps[run] / len(configs))
    c, medians = configs[0], {run: statistics.median(values) for run, values in times.items()}
    flops, rate = 6 * (c.D_train + c.D_random) * products(c), statistics.median(rates)
    return [Row(c.architecture, c.n_layers, name, c.d_h, c.D_train, len(configs), median, min(times[name, kind]),
                max(times[name, kind]), medians.get((name, "known"), math.nan),
                medians["usual", "fresh"] / median, flops / (1e-3 * median) / rate)
            for (name, kind), median in medians.items() if kind == "fresh"]


def _seconds(advance: Advance, n_steps: int, device: str) -> float:
    start = time.perf_counter()
    advance(n_steps)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def machine(device: str, threads: int) -> dict[str, str | int]:
    """What was measured on."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return {"device": name, "threads": threads, "python": platform.python_version(), "torch": torch.__version__,
            "numpy": np.__version__}


def _processor() -> str:
    try:
        lines = open("/proc/cpuinfo").read().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


@click.command()
@click.option("--d-h", "sizes", multiple=True, type=int, help="Hidden sizes.", default=SIZES)
@click.option("--D-train", "train_sizes", multiple=True, type=int, help="Training pairs.", default=TRAIN_SIZES)
@click.option("--p", default=113, help="Numbers.")
@click.option("--models", "cohorts", multiple=True, type=int, help="Networks trained together.", default=COHORTS)
@click.option("--architecture", "kinds", multiple=True, default=("transformer",), type=click.Choice(tuple(USUAL)),
              help="Kind of network.")
@click.option("--task", default="add", help="What the table holds.")
@click.option("--D-random", "D_random", default=0, help="Random-label pairs beside them (task add+random).")
@click.option("--memorised/--fresh-only", "with_memorised", default=True, help="Also networks that know their pairs.")
@click.option("--layers", "depths", multiple=True, type=int, default=(1,),
              help="Layers between embedding and unembedding.")
@click.option("--repeats", default=5, help="Turns of each contender.")
@click.option("--seconds", default=0.5, help="Length of a turn.")
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--threads", default=torch.get_num_threads(), help="Threads of PyTorch and of the fused engine.")
@click.option("--compile/--no-compile", "with_compiled", default=True, help="Also torch.compile of the usual loop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the table.")
def main(sizes, train_sizes, p, cohorts, kinds, task, D_random, with_memorised, depths, repeats, seconds, device,
         threads, with_compiled, as_json):
    """Time every engine that can do it on every cell of the grid."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # which it is by default, for the usual LSTM
    where = machine(device, threads) | {"turns": repeats}
    print(json.dumps(where) if as_json else " · ".join(f"{name} {value}" for name, value in where.items()))
    if not as_json:
        print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for n_models, kind, n_layers, d_h, D_train in product(cohorts, kinds, depths, sizes, train_sizes):
        configs = [RunConfig(architecture=kind, n_layers=n_layers, d_h=d_h, D_train=D_train, p=p, seed=seed, task=task,
                             D_random=D_random) for seed in range(n_models)]
        fresh = contenders(configs, initial(configs), device, threads, with_compiled)
        start = memorised(configs) if with_memorised else None
        still = [c.replace(lr=0.0) for c in configs]
        known = {} if start is None else contenders(still, start, device, threads, False)
        for row in measure(configs, fresh, known, repeats, seconds, device):
            print(json.dumps(asdict(row)) if as_json else _line(row), flush=True)


def _line(row: Row) -> str:
    """The row as one of a table in Markdown, in the order of `COLUMNS`."""
    median, least, most, known = (f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}" for ms in (
        row.median_ms, row.least_ms, row.most_ms, row.memorised_ms))
    cells = (row.architecture, row.n_layers, row.d_h, row.D_train, row.n_models, row.engine,
             f"{median} ({least} to {most})", known.replace("nan", "–"), f"{row.times_faster:.1f}",
             f"{row.share_of_matrix_rate:.0%}")
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
