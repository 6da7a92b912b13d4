"""Scores images with a file of ``adbench export --to onnx``. It needs onnxruntime, NumPy and Pillow alone.

python export_sample.py padim.onnx part1.png part2.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def main(model: str, *paths: str) -> None:
    """Print a line for each image: its path, its score, the verdict, and its most anomalous place."""
    session = onnxruntime.InferenceSession(model)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["adbench"])
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))[None]  # (1, H, W, 3), uint8
        if facts["input"] == "float":
            image = image.transpose(0, 3, 1, 2).astype(np.float32) / 255  # (1, 3, H, W), from 0 to 1
        found = dict(zip(facts["outputs"], session.run(facts["outputs"], {"images": image}), strict=True))
        words = [path, f"{found['score'][0]:.6g}"]
        if "verdict" in found:  # a threshold is inside
            words.append("defective" if found["verdict"][0] else "good")
        if "map" in found:  # (1, h, w)
            row, column = np.unravel_index(found["map"][0].argmax(), found["map"][0].shape)
            words.append(f"row {row} column {column} of {found['map'].shape[1]}x{found['map'].shape[2]}")
        print("\t".join(words))


if __name__ == "__main__":
    main(*sys.argv[1:])
