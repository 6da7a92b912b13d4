"""The bridge with the installed anomalib: its own engine trains, on training images only, and raw scores come out."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from dataclasses import replace

import pytest
import torch
from conftest import make_class

from adbench import BuildContext, checks
from adbench.api import CheckpointError, OptionError, UsageError, WeightsError
from adbench.data.images import Batch

pytest.importorskip("anomalib", reason='needs anomalib: pip install -e ".[anomalib]" in an environment of its own')

import anomalib.models.image
from adbench_plugins import anomalib_bridge
from adbench_plugins.anomalib_bridge import networks
from adbench_plugins.anomalib_bridge.batches import Batches, TrainingImages
from adbench_plugins.anomalib_bridge.model import Bridged, create
from adbench_plugins.anomalib_bridge.models import LITE0, MODELS
from adbench_plugins.anomalib_bridge.presets import presets
from anomalib.data import Folder, ImageBatch, MVTecAD
from anomalib.engine import Engine
from distillation_doubles import SmallImages, some_images
from flow_doubles import train
from torch.utils.data import DataLoader

pytestmark = [pytest.mark.bridge, pytest.mark.usefixtures("one_thread")]

ENTRIES = {model.name: model for model in MODELS}
CPU = BuildContext(torch.device("cpu"))
OURS = {"self", "pre_processor", "post_processor", "evaluator", "visualizer"}


def small(name: str, **changes):
    """Options of the preset cpu for images of 64 x 64 pixels."""
    chosen = {"size": (64, 64), "batch_size": 4, **changes}
    return replace(presets(ENTRIES[name])["cpu"].options, **chosen)


def detector(name: str, seed: int = 0, **changes) -> Bridged:
    torch.manual_seed(seed)
    return Bridged(small(name, **changes), CPU, ENTRIES[name])


# ---------------------------------------------------------------- the list of models


def test_every_image_model_of_the_installed_release_is_listed():
    """By the name of its module, with its class."""
    folder = anomalib.models.image.__path__
    modules = {each.name for each in pkgutil.iter_modules(folder)}
    assert set(ENTRIES) == modules
    classes = {getattr(importlib.import_module(f"anomalib.models.image.{m.name}"), m.class_name) for m in MODELS}
    assert {each.__name__ for each in classes} == set(anomalib.models.image.__all__)


def readable(parameter: inspect.Parameter) -> bool:
    """Whether adbench can read an argument: no list of lists, and no type of torch."""
    text = str(parameter.annotation)
    return "list[list" not in text and "dtype" not in text


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_options_are_the_arguments_of_the_constructor_with_their_defaults(model):
    """All that adbench can read are there; others follow an option of adbench."""
    kind = getattr(importlib.import_module(f"anomalib.models.image.{model.name}"), model.class_name)
    arguments = {name: each for name, each in inspect.signature(kind.__init__).parameters.items() if name not in OURS}
    ours = {name: default for name, _, default in model.options}
    left_out = set(arguments) - set(ours) - set(model.tied)
    assert {name for name in left_out if readable(arguments[name])} <= {"image_size"}
    for name, default in ours.items():
        wanted = arguments[name].default
        wanted = tuple(wanted) if isinstance(wanted, (list, tuple)) else getattr(wanted, "value", wanted)
        assert default == wanted, name
    types = {name: typing.get_origin(kind) or kind for name, kind, _ in model.options}
    assert all(isinstance(ours[name], each) for name, each in types.items() if each in (int, float, bool, str, tuple))


def test_sizes_are_those_of_the_models_transforms():
    """Of the crop where there is one, with the size before it."""
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize

    for model in MODELS:
        kind = getattr(importlib.import_module(f"anomalib.models.image.{model.name}"), model.class_name)
        transform = kind.configure_pre_processor().transform
        parts = transform.transforms if isinstance(transform, Compose) else [transform]
        resized = next(tuple(part.size) for part in parts if isinstance(part, Resize))
        cropped = next((tuple(part.size) for part in parts if isinstance(part, CenterCrop)), resized)
        assert (model.size, model.resize_to or model.size) == (cropped, resized), model.name


# ---------------------------------------------------------------- its networks


def test_efficientnet_lite0_is_the_network_of_adbench():
    """The weights of the package, loaded into timm's network, give the features of adbench's backbone."""
    from adbench import backbones

    made = detector("padim").model
    images = some_images(2, (64, 96))
    ours = backbones.load(LITE0, layers=(1, 2, 3), device=torch.device("cpu"))(images)
    found = made.model.feature_extractor(made.pre_processor.transform.transforms[-1](images))
    for expected, level in zip(ours, found.values(), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-3, atol=1e-4)


def test_a_file_has_the_weights_of_any_network(tmp_path):
    """STFPM's teacher gets them, and its student none."""
    import timm

    torch.manual_seed(5)
    net = timm.create_model("resnet18")
    torch.save(net.state_dict(), tmp_path / "resnet18.pt")
    layers = ("layer1", "layer2", "layer3")
    made = detector("stfpm", backbone="resnet18", layers=layers, weights=str(tmp_path / "resnet18.pt")).model.model
    teacher = made.teacher_model.feature_extractor.state_dict()
    student = made.student_model.feature_extractor.state_dict()
    assert torch.equal(net.state_dict()["layer3.1.conv2.weight"], teacher["layer3.1.conv2.weight"])
    assert not torch.equal(teacher["layer3.1.conv2.weight"], student["layer3.1.conv2.weight"])
    with pytest.raises(WeightsError, match="weights file"):
        detector("stfpm", weights=str(tmp_path / "none.pt"))
    assert timm.create_model is networks.timm.create_model
    assert timm.create_model.__module__.startswith("timm")


def test_weights_that_cannot_be_fetched_are_an_error_that_says_what_to_do(monkeypatch):
    """Never random values."""
    import huggingface_hub
    import timm

    def unreachable(*arguments, **named):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(WeightsError, match=r"anomalib:padim can't be fetched.*preset cpu"):
        detector("padim", backbone="resnet18", layers=("layer1",))


def test_models_that_cannot_run_say_why():
    """One wants point clouds, the other one a chat service."""
    for name in ("cfm", "vlm_ad"):
        with pytest.raises(UsageError, match=f"anomalib:{name} can't run in adbench: it "):
            create(ENTRIES[name], small(name))


def test_the_release_is_part_of_the_options():
    """Results of another one are another variant, and it can't be asked for."""
    assert small("padim").release == anomalib.__version__
    with pytest.raises(OptionError, match=r"option release: found 2\.7\.99"):
        detector("padim", release="2.7.99")


# ---------------------------------------------------------------- training images only


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A class in MVTec layout whose images are not resized."""
    return make_class(tmp_path_factory.mktemp("own"), "nuts", train=6, side=64)


def own_data(folder, **named) -> Folder:
    """The data module that anomalib itself would use."""
    return Folder(
        "nuts", root=folder, normal_dir="train/good", abnormal_dir="test/spot", normal_test_dir="test/good",
        num_workers=0, **named,
    )  # fmt: skip


def pixels_of(data) -> torch.Tensor:
    return torch.stack([data[number].image for number in range(len(data))])


@pytest.mark.parametrize("name", ["padim", "stfpm"])
def test_scores_are_those_of_anomalibs_own_run(name, folder, tmp_path):
    """The same images, seed and options, trained by ``Engine.fit`` without the bridge, give the same raw scores."""
    data = own_data(folder)
    data.setup()
    loader = DataLoader(data.train_data, batch_size=6, collate_fn=data.train_data.collate_fn)  # in a fixed order
    epochs = {"max_epochs": 2} if name == "stfpm" else {}
    torch.manual_seed(0)
    theirs = create(ENTRIES[name], small(name, **epochs))
    engine = Engine(default_root_dir=tmp_path, accelerator="cpu", enable_progress_bar=False, **epochs)
    engine.fit(theirs, train_dataloaders=loader)

    ours = detector(name, batch_size=6, **epochs)
    train(ours, SmallImages(pixels_of(data.train_data), batch_size=6, shuffled=False))
    test = pixels_of(data.test_data)
    with torch.no_grad():
        found = ours.score(Batch.of(test))
        expected = theirs.eval().model(theirs.pre_processor.transform(test))
    torch.testing.assert_close(found.image, expected.pred_score.flatten(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.map, expected.anomaly_map[:, 0], rtol=1e-4, atol=1e-6)


def test_anomalibs_own_data_modules_validate_on_test_images(folder):
    """By default: all test images for MVTec AD, half of them for a folder. That is what the page says."""
    defaults = {each: inspect.signature(each).parameters["val_split_mode"].default for each in (MVTecAD, Folder)}
    assert [str(value.value) for value in defaults.values()] == ["same_as_test", "from_test"]
    data = own_data(folder)
    data.setup()
    assert {path.split("/")[-3] for path in data.val_data.samples.image_path} == {"test"}


def test_its_validation_gets_held_out_training_images():
    """They are drawn by the run's seed; without a share there is no validation."""
    images = SmallImages()
    made = detector("padim", validation=0.25)
    train(made, images)
    assert images.asked == (0.25, 0)
    data = TrainingImages(images, None, "nuts")
    assert data.val_dataloader() == []
    assert isinstance(data.train_dataloader(), Batches)
    assert all(isinstance(batch, ImageBatch) and not batch.gt_label.any() for batch in data.train_dataloader())


def test_early_stopping_looks_at_held_out_training_images():
    """A training whose held-out score doesn't fall ends early, and says how many epochs it took."""
    made = detector("fastflow", validation=0.25, patience=1, max_epochs=5)
    made.model.configure_optimizers = lambda: torch.optim.SGD(made.model.parameters(), lr=0.0)
    reports = train(made, SmallImages())
    assert (reports[-1].number, reports[-1].total) == (2, 2)
    with pytest.raises(OptionError, match="patience"):
        detector("stfpm", patience=1)


# ---------------------------------------------------------------- scores and state


def test_scores_are_raw_and_each_image_is_scored_alone():
    """No normalisation by other images, and the same in any batch."""
    made = detector("padim")
    train(made, SmallImages())
    test = some_images(3)
    with torch.no_grad():
        found = made.score(Batch.of(test))
        brighter = made.score(Batch.of((test * 1.5).clamp(0, 1)))
        raw = made.model.model.eval()(made.model.pre_processor.transform(test[:1]))
    assert torch.equal(found.image[:1], raw.pred_score.flatten())
    assert float(brighter.image.max()) > 1  # not squeezed into [0, 1]
    assert made.model.post_processor is None


def test_modes_of_the_modules_survive_scoring_between_epochs():
    """Lightning trains on with what it finds."""
    made = detector("stfpm")
    before = [module.training for module in made.model.modules()]
    made.score(Batch.of(some_images(2)))
    assert [module.training for module in made.model.modules()] == before
    assert any(before)
    assert not all(before)


def test_training_writes_nothing_over_adbenchs_progress(capfd):
    """Neither bars nor lines of Lightning; PatchCore draws a bar of its own."""
    train(detector("patchcore"), SmallImages())
    assert capfd.readouterr() == ("", "")


def test_state_that_does_not_fit_is_refused():
    """A state without a model, and that of another one."""
    made = detector("padim")
    with pytest.raises(CheckpointError, match="'model'"):
        made.load_state_dict({"student": {}})
    with pytest.raises(CheckpointError, match="state 'model'"):
        made.load_state_dict(detector("stfpm").state_dict())


@pytest.mark.parametrize("name", ["padim", "patchcore", "stfpm", "fastflow"])
def test_it_keeps_the_rules(name):
    """Those of ``adbench check-method``, resuming included."""
    method = anomalib_bridge.method_of(ENTRIES[name])
    checks.check_method(method, changes={"size": (64, 64)})
