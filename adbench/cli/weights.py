"""The commands for backbones' weights: ``weights list`` and ``weights get``."""

from __future__ import annotations

from pathlib import Path

import click

from ..util.errors import AdbenchError, UsageError
from . import options as arguments
from .console import load_plugins, print_tables, say
from .groups import CommandGroup


@click.group("weights", cls=CommandGroup, short_help="List, fetch or bring weights of backbones.")
def weights_() -> None:
    """List the weights of backbones, fetch them ahead for machines without a network, or take files brought by hand.

    \b
    adbench weights list
    adbench weights get wide_resnet50_2
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"


@weights_.command("list", short_help="Show which weights are here.")
@click.option("--check", is_flag=True, help="Also compare the files' content with what is published.")
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def list_(check: bool, plugin_files: tuple[Path, ...], format_: str) -> None:
    """Show which backbones' weights are here: adbench's own backbones, and timm's that a preset names.

    \b
    adbench weights list
    adbench weights list --check --format json
    """  # noqa: D301
    from ..api.backbone_table import TIMM_PREFIX
    from ..backbones import weight_files
    from ..report import health
    from ..run.installation import backbones_of

    registry = load_plugins(plugin_files)
    more = backbones_of(registry, TIMM_PREFIX)
    print_tables([health.weights(weight_files.find_all(more, whole=check))], format_)


@weights_.command(short_help="Fetch weights, or take a file.")
@click.argument("backbone_names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--from", "file", type=click.Path(path_type=Path), metavar="FILE",
    help="Take the weights of NAME from this file; it is loaded into the network before it is put in place.",
)  # fmt: skip
@arguments.debug_option
def get(backbone_names: tuple[str, ...], file: Path | None) -> None:
    """Fetch the published weights of backbones to where adbench looks for them.

    \b
    adbench weights get wide_resnet50_2 timm:vit_base_patch14_reg4_dinov2
    adbench weights get resnet18 --from resnet18-f37072fd.pth
    """  # noqa: D301
    from ..backbones import weight_files

    if file is not None and len(backbone_names) > 1:
        raise UsageError("--from", found=f"{len(backbone_names)} backbones", wanted="one")
    errors: list[AdbenchError] = []
    for name in backbone_names:
        try:
            found = weight_files.fetch(name) if file is None else weight_files.bring(name, file)
            say(f"{name}: {found.path}")
        except AdbenchError as error:
            if len(backbone_names) == 1:
                raise
            errors.append(error)
            say(f"✗ {name}: {error}")
    if errors:
        raise click.exceptions.Exit(max(error.exit_code for error in errors))
