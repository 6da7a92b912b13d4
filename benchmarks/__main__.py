"""``python -m benchmarks``: the command line of the benchmarks."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from adbench.cli.main import prepare_torch

REAL_DATA = "ADBENCH_REAL_DATA"
"""Variable for a folder of real images in MVTec layout; without it benchmarks use those of ``demo``."""


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every benchmark that runs a method."""
    for option in reversed((
        click.option("--method", default="msflow", show_default=True, type=click.Choice(["msflow", "cflow"])),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--data", type=click.Path(path_type=Path, exists=True), envvar=REAL_DATA, show_envvar=True,
                     help="A folder of MVTec-layout classes. [default: that of demo]"),
        click.option("--class", "class_name", help="One of them. [default: brick of demo]"),
        click.option("--images", "--pictures", default=32, show_default=True, help="Number of images of each part."),
        click.option("--size", default=256, show_default=True),
        click.option("--batch", default=8, show_default=True),
        click.option("--rounds", default=3, show_default=True, help="Epochs of each side; the median counts."),
        click.option("--workers", default=2, show_default=True, help="Of the plain loop's DataLoader."),
        click.option("--weights", type=click.Path(path_type=Path), help="State dict of wide_resnet50_2. "
                     "[default: random ones, which take as long]"),
    )):  # fmt: skip
        command = option(command)
    return command


def _setting(words: dict[str, Any]) -> Any:
    from adbench.util.devices import resolve_device

    from .setting import Setting, demo_folder, made_weights

    words = dict(words)
    if words["data"] is None:
        words["data"] = demo_folder()
        words["class_name"] = words["class_name"] or "brick"
    elif words["class_name"] is None:
        raise click.UsageError(f"Say which --class of {words['data']}.")
    words["weights"] = words["weights"] or made_weights()
    words["device"] = resolve_device(words["device"])
    return Setting(**words)


def _console() -> Console:
    """A console that is wide enough for the tables where there is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _precisions(device: Any) -> list[str]:
    from adbench.util.devices import resolve_amp

    return list(dict.fromkeys(["off", resolve_amp("auto", device)]))


@click.group()
def app() -> None:
    """Measure adbench beside plain loops, in turn in one process, so that noise affects both alike."""


@app.result_callback()
def free_models(_: object) -> None:
    """Free the models of a benchmark: they hold themselves, and 9 GB of MSFlow's would stay beside the next ones."""
    gc.collect()


@app.command()
@shared_options
def train(rounds: int, **words: Any) -> None:
    """One training epoch from the second on."""
    from . import train as benchmark

    setting = _setting(words)
    benchmark.run(setting, _precisions(setting.device), rounds, _console())


@app.command()
@shared_options
def score(rounds: int, **words: Any) -> None:
    """Scoring the test set: the first time, and again as each evaluation in training does."""
    from . import score as benchmark

    setting = _setting(words)
    benchmark.run(setting, _precisions(setting.device), rounds, _console())


@app.command()
@shared_options
def start(rounds: int, **words: Any) -> None:
    """Time until a run with cached images and features reaches its first epoch."""
    from . import start as benchmark

    setting = _setting(words)
    benchmark.run(setting, _precisions(setting.device)[-1], rounds, _console())


@app.command()
@shared_options
def compiled(rounds: int, **words: Any) -> None:
    """Steps under torch.compile, and after how many of them it pays. On a CPU it needs a C++ compiler."""
    from . import compiled as benchmark

    setting = _setting(words)
    benchmark.run(setting, _precisions(setting.device)[-1], rounds, _console())


@app.command()
@click.option("--maps", default=83, show_default=True)
@click.option("--size", default=512, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def evaluate(maps: int, size: int, device: str, rounds: int) -> None:
    """All metrics of a test set, beside scikit-learn's pixel AUROC alone."""
    from . import evaluate as benchmark

    benchmark.run(maps, size, device, rounds, _console())


@app.command()
@click.option("--method", default="msflow", show_default=True, type=click.Choice(["msflow", "cflow", "padim"]))
@click.option("--dataset", default="demo", show_default=True)
@click.option("--data-root", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--class", "class_name", default="brick", show_default=True)
@click.option("--preset", default="cpu", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Change an option of the method.")
@click.option("--rounds", default=3, show_default=True, help="Runs without each thing; the median counts.")
@click.option("--without", "parts", multiple=True, metavar="NAME", help="Only without this. [default: each in turn]")
def ablation(
    method: str, dataset: str, data_root: Path | None, class_name: str, preset: str, device: str,
    options: tuple[str, ...], rounds: int, parts: tuple[str, ...],
) -> None:  # fmt: skip
    """What a whole `adbench run` loses without each fast path.

    Without -o weights=FILE it uses random weights of wide_resnet50_2, which take as long.
    """
    from adbench.api import registry
    from adbench.api.method import resolve
    from adbench.util.devices import resolve_amp, resolve_device

    from . import ablation as benchmark
    from .setting import describe_machine, made_weights

    found = resolve_device(device)
    known = [
        name for name, part in benchmark.PARTS.items()
        if part.fits(method, found.type) and not (name == "bf16" and resolve_amp("auto", found) != "bf16")
    ]  # fmt: skip
    for name in parts:
        if name not in known:
            raise click.BadParameter(f"'{name}'; {method} on {found} has: {', '.join(known)}", param_hint="--without")
    backbone = getattr(resolve(registry.load().method(method), preset, {}, dataset, class_name), "backbone", None)
    if backbone == "wide_resnet50_2" and not any(text.startswith(("backbone=", "weights=")) for text in options):
        options = (*options, f"weights={made_weights()}")
    command = ["run", "--method", method, "--dataset", dataset, "--class", class_name, "--preset", preset,
               "--device", str(found), *(word for text in options for word in ("-o", text))]  # fmt: skip
    if data_root:
        command += ["--data-root", str(data_root)]
    console = _console()
    console.print(describe_machine(found), highlight=False, soft_wrap=True)
    benchmark.run(command, parts or known, rounds, console)


@app.command()
@click.option("--method", default="msflow", show_default=True)
@click.option("--option", "-o", "changes", multiple=True, default=("meta_epochs=3",), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Runs of each; the median counts.")
@click.option("--loops", default=1, show_default=True, help="Busy loops of the busy machine.")
@click.option("--plain", is_flag=True, help="With torch's own number of threads, spinning, as well; may take minutes.")
def busy(method: str, changes: tuple[str, ...], rounds: int, loops: int, plain: bool) -> None:
    """A whole run with the default and with fixed numbers of threads, idle and beside a busy loop."""
    from . import busy as benchmark

    words = ("-m", method, "-d", "demo", "-c", "brick", "-p", "cpu", "--device", "cpu")
    benchmark.run((*words, *(word for change in changes for word in ("-o", change))), rounds, loops, plain, _console())


@app.command()
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--rounds", default=3, show_default=True, help="Repetitions in turn; the median counts.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["coreset", "large", "search", "class"]),
    help="Only this; may be repeated. [default: all]",
)
def patchcore(threads: int, rounds: int, parts: tuple[str, ...]) -> None:
    """PatchCore's coreset and search beside plain ones, and beside anomalib's where it is installed."""
    from . import patchcore as benchmark

    benchmark.run(parts or benchmark.PARTS, threads, rounds, _console())


@app.command()
@click.option("--method", default="padim,patchcore,dfm", show_default=True, help="METHOD[,METHOD...] with a backbone.")
@click.option("--dataset", default="demo", show_default=True)
@click.option("--data-root", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--class", "classes", default="all", show_default=True)
@click.option("--preset", default="cpu", show_default=True)
@click.option("--layers", is_flag=True, help="Layers of one network, in place of several networks.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), help="Keep the runs here, and go on there.")
def backbones(
    method: str, dataset: str, data_root: Path | None, classes: str, preset: str, layers: bool, seed: int, device: str,
    threads: int, results: Path | None,
) -> None:  # fmt: skip
    """What extractors do to methods: networks with ImageNet weights and with random ones, or layers of one network."""
    from . import backbones as benchmark

    extractors = benchmark.LAYERS if layers else benchmark.EXTRACTORS
    with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as folder:
        kept = results or Path(folder)
        where = benchmark.Where(dataset, data_root, classes, preset, seed, device, threads, kept)
        benchmark.run(extractors, method.split(","), where, _console())


@app.command()
@click.option("--method", default="all", show_default=True, help="METHOD[,METHOD...]")
@click.option("--preset", "presets", multiple=True, help="Only this; may be repeated. [default: all]")
@click.option("--aux", "auxiliary", multiple=True, metavar="NAME=PATH", help="What some methods need to train.")
def memory(method: str, presets: tuple[str, ...], auxiliary: tuple[str, ...]) -> None:
    """The bytes that presets take, counted on small images: the table of `adbench doctor`, as CSV."""
    from adbench.api import registry
    from adbench.cli import values

    from . import memory as benchmark

    known = registry.load()
    given = {name: Path(path) for name, _, path in (each.partition("=") for each in auxiliary)}
    methods = values.methods(known, method)
    for line in benchmark.rows(methods, known, given, _console_of_messages().print, presets):
        click.echo(line)


def _console_of_messages() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
@click.option("--method", default="all", show_default=True, help="METHOD[,METHOD...] or all.")
@click.option(
    "--to",
    "targets",
    multiple=True,
    type=click.Choice(["onnx", "openvino", "torch"]),
    help="Only this format; may be repeated. [default: all]",
)
@click.option(
    "--format", "format_", default="table", show_default=True, type=click.Choice(["table", "markdown", "json"])
)
@click.option("--results", type=click.Path(path_type=Path), help="Keep the rows in this file, and go on there.")
def export(method: str, targets: tuple[str, ...], format_: str, results: Path | None) -> None:
    """Small models of all methods in all formats: how far the files are from the models."""
    from . import export as benchmark

    chosen = benchmark.variants(None if method == "all" else method.split(","))
    benchmark.run(chosen, targets or tuple(benchmark.SUFFIXES), format_, results)  # type: ignore[arg-type]


@app.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    envvar=REAL_DATA,
    show_envvar=True,
    help="A folder of MVTec-layout classes. [default: that of demo]",
)
@click.option("--class", "class_name", default="brick", show_default=True, help="One of them.")
@click.option("--method", default="padim", show_default=True)
@click.option("--preset", default="cpu", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Change an option of the method.")
def regions(
    data: Path | None, class_name: str, method: str, preset: str, device: str, options: tuple[str, ...]
) -> None:
    """Defect regions in the masks' own pixels and in resized masks, and a method's AUPRO by both."""
    from adbench.api import registry
    from adbench.cli import values
    from adbench.util.devices import resolve_device

    from . import regions as benchmark
    from .setting import demo_folder

    changes = values.overrides([registry.load().method(method)], options, {})[method]
    benchmark.run(data or demo_folder(), class_name, method, preset, changes, resolve_device(device), _console())


@app.command()
@click.option("--method", default="padim", show_default=True)
@click.option("--preset", default="cpu", show_default=True)
@click.option("--size", default="3000x4000", show_default=True, help="Of the images.")
@click.option("--images", default=6, show_default=True, type=click.IntRange(min=4), help="Half of them for training.")
@click.option("--tile", default="512x512", show_default=True)
@click.option("--overlap", default=64, show_default=True)
@click.option("--eval-size", help="Compare maps and masks at this size.  [default: the images' own]")
@click.option("--limit", default=8.0, show_default=True, help="Gigabytes of memory that the run gets.")
def tiling(
    method: str, preset: str, size: str, images: int, tile: str, overlap: int, eval_size: str | None, limit: float
) -> None:
    """Memory and time of a run on large images that are cut into tiles, under a limit of memory."""
    from adbench.cli import values

    from . import tiling as benchmark

    sides = values.size("--size", size)
    assert sides is not None
    benchmark.run(method, preset, sides, images, tile, overlap, eval_size, limit, _console())


@app.command()
@click.option("--runs", default=1000, show_default=True, help="Number of made runs.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder in which results and site stay.")
def site(runs: int, keep: Path | None) -> None:
    """A site over made runs: its size, and the seconds to build and to open it."""
    from . import site as benchmark

    benchmark.run(runs, _console(), keep)


@app.command()
@click.option("--method", "methods", multiple=True, default=["padim", "patchcore", "dfm"], show_default=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), envvar=REAL_DATA, show_envvar=True,
              help="A folder of MVTec-layout classes beside demo.")  # fmt: skip
@click.option("--class", "classes", multiple=True, help="Of that folder; may be repeated. [default: all]")
@click.option("--size", default=128, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seeds", default=2, show_default=True, help="Number of seeds.")
def executors(
    methods: tuple[str, ...], data: Path | None, classes: tuple[str, ...], size: int, workers: int, seeds: int
) -> None:
    """One run file by local, processes and ray; a worker is killed in mid-run, and the table must be that of local."""
    from . import executors as benchmark

    benchmark.run(methods, data, classes, size, workers, seeds, _console())


@app.command()
@click.option("--seed", default=0, show_default=True, help="Another one draws other kills, faults and inputs.")
@click.option("--share", default=1.0, show_default=True, type=click.FloatRange(0, 1, min_open=True),
              help="Part of the tries, such as 0.1.")  # fmt: skip
@click.option(
    "--part", "parts", multiple=True, help="Only this; may be repeated: kills, executors, disks, twins, inputs."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this new folder, and keep it.")
@click.option("--rows", type=click.Path(path_type=Path, dir_okay=False),
              help="Keep each row that is done in this file; the same command goes on from there.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0), default=math.inf, help="Start no further row after so many.")
def campaign(
    seed: int, share: float, parts: tuple[str, ...], keep: Path | None, rows: Path | None, minutes: float
) -> None:
    """Kill runs, fill the disk and feed in bad inputs: nothing may be lost, half-written or wrong in silence.

    With `--rows rows.jsonl --minutes 0` it prints the table of what is done. Exit code 1 if there is a fault.
    """
    from .campaign.command import PARTS, Campaign
    from .campaign.tally import Kept, show

    for name in parts:
        if name not in PARTS:
            raise click.BadParameter(f"'{name}'; there are {', '.join(PARTS)}", param_hint="--part")
    with tempfile.TemporaryDirectory(prefix="adbench-campaign-") as folder:
        place = (keep or Path(folder)).resolve()
        work = Campaign(seed, share, place, _console_of_messages().print)
        kept = Kept(rows, seed, work.tenths()[0].share) if rows else None
        done = list(work.rows(parts or PARTS, kept, 60 * minutes))
        show(done, _console(), seed=seed, share=share)
    if any(row.faults for row in done):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    prepare_torch()  # for both sides, as `adbench` does
    app()
