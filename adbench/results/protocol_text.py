"""What a protocol says to people, as under a table."""

from __future__ import annotations

from ..api.data import size_text
from ..util.text import plural
from .records import Protocol


def protocol_text(protocol: Protocol) -> str:
    """One line with everything that moves a number, except the method."""
    return "; ".join(filter(None, protocol_parts(protocol).values()))


def protocol_parts(protocol: Protocol) -> dict[str, str]:
    """The facts of ``protocol_text`` by subject; "masks" and "aupro" move only some metrics."""
    masks = size_text(protocol.mask_size)
    weights = f", weights {protocol.backbone_weights[:12]}" if protocol.backbone_weights else ""
    maps = f", maps {protocol.map_resampling}" if protocol.map_resampling else ""
    crop = ", the crop alone" if _is_cropped(protocol) else ""
    tested = f"test split {protocol.test}" if protocol.test else ""
    return {
        "setting": _setting_part(protocol),
        "test": tested,
        "reading": f"read with {protocol.reading.text}" if protocol.reading else "",
        "levels": f"levels {protocol.levels.text} by {protocol.levels_by}" if protocol.levels else "",
        "input": _input_part(protocol),
        "masks": f"masks {masks} ({protocol.mask_resampling}{maps}{crop}){_truth_part(protocol)}",
        "regions": f"regions: {protocol.regions or 'those of the resized masks'}",
        "holdout": f"--holdout {protocol.holdout:g}" if protocol.holdout else "",
        "validation": f"{protocol.validation:g} of the training images for validation" if protocol.validation else "",
        "aupro": f"AUPRO from the {protocol.aupro_map}",
        "segf1": f"SegF1 at {protocol.segf1}" if protocol.segf1 else "",
        "epoch": f"{protocol.epoch_policy} epoch",
        "backbone": f"{protocol.backbone}{weights}" if protocol.backbone else "no backbone",
        "precision": "fp32" if protocol.precision == "off" else f"amp {protocol.precision}",
    }


def _is_cropped(protocol: Protocol) -> bool:
    """Whether a part of an image may be cut off."""
    if protocol.tile is not None:
        return protocol.resize == "crop" and protocol.resize_to is not None
    return protocol.resize == "crop" or protocol.resize_to is not None


def _input_part(protocol: Protocol) -> str:
    """What a protocol says of the images that the method gets."""
    size, how = size_text(protocol.size), f"by {protocol.resize} ({protocol.picture_resampling})"
    whole = f" of {size_text(protocol.resize_to)}" if protocol.resize_to else ""
    if protocol.tile is None:
        return f"{size}{whole} {how}"
    cut = f"tiles of {size} that overlap by {protocol.overlap}, cut out of"
    return f"{cut} {size_text(protocol.resize_to)} {how}" if protocol.resize_to else f"{cut} the image's own pixels"


def _truth_part(protocol: Protocol) -> str:
    """What a user asked to count as defect pixels; nothing of what is usual."""
    rule = f", mask rule {protocol.mask_rule}" if protocol.mask_rule else ""
    area = f", regions under {plural(protocol.min_defect_area, 'pixel')} ignored" if protocol.min_defect_area else ""
    return f"{rule}{area}{f', ignore mask {protocol.ignore_mask}' if protocol.ignore_mask else ''}"


def _setting_part(protocol: Protocol) -> str:
    """What a protocol says of the setting; nothing of "one-class", which is usual."""
    if protocol.setting == "multi-class":
        return f"multi-class: one model of {', '.join(protocol.classes)}"
    if protocol.setting == "few-shot":
        return f"few-shot: {plural(protocol.shots or 0, 'training image')} of each class"
    return "" if protocol.setting == "one-class" else "zero-shot: no training image"
