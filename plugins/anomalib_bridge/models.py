"""anomalib's image models: names, defaults and options, as release 2.7 has them.

Reading them from anomalib would import it, and torch, whenever methods are listed. A test compares them with the
installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Option = tuple[str, Any, Any]
"""Name, type and default of an argument of a model's constructor."""

Size = tuple[int, int]

LITE0 = "efficientnet_lite0"
"""adbench's small backbone, whose weights come as a package. anomalib gets it in place of a network of timm."""

Precision = Literal["float32", "float16"]

Names, Numbers = tuple[str, ...], tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A model of ``anomalib.models.image``.

    Attributes:
        name: of its module; "anomalib:NAME" is the method.
        class_name: of its class.
        summary: in a few words.
        paper: where it comes from.
        options: arguments of its constructor that adbench can read.
        epochs: passes over the training images; None where the model itself sets them.
        size: of its images.
        resize_to: size before a crop of the centre; None without a crop.
        batch_size: of anomalib's data modules, or what the model demands.
        validation: held-out part of the training images; more than 0 where scores need it.
        small: changes for the preset ``cpu``.
        tied: arguments that follow an option of adbench: argument -> option.
        unfit: why adbench can't run it.
        named: what a model that takes few names of backbones is told in place of ``efficientnet_lite0``.
    """

    name: str
    class_name: str
    summary: str
    paper: str
    options: tuple[Option, ...]
    epochs: int | None = None
    size: Size = (256, 256)
    resize_to: Size | None = None
    batch_size: int = 32
    validation: float = 0.0
    small: Mapping[str, Any] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    named: str = ""


def _backbone(name: str, layers: Names | None = None) -> tuple[Option, ...]:
    """The arguments of most models with a frozen convolutional network."""
    return (
        ("backbone", str, name),
        *((("layers", Names, layers),) if layers else ()),
        ("pre_trained", bool, True),
    )


PRECISION: Option = ("precision", Precision, "float32")

THREE = {"backbone": LITE0, "layers": ("blocks.1", "blocks.2", "blocks.4")}
TWO = {"backbone": LITE0, "layers": ("blocks.2", "blocks.4")}
"""Levels of EfficientNet-Lite0 by timm's names; at strides 4, 8 and 16, and at 8 and 16."""

# fmt: off
MODELS = (
    Model(
        "anomalyvfm", "AnomalyVFM", "a foundation model that was taught to find anomalies, without training here",
        "arXiv 2601.20524", (PRECISION,), size=(768, 768),
    ),
    Model(
        "anomaly_dino", "AnomalyDINO", "nearest neighbours of DINOv2's patches", "arXiv 2405.14529",
        (
            ("num_neighbours", int, 1), ("encoder_name", str, "vit_small_patch14_dinov2"), ("masking", bool, False),
            ("coreset_subsampling", bool, False), ("sampling_ratio", float, 0.1), PRECISION,
        ),
        size=(252, 252),
    ),
    Model(
        "cfa", "Cfa", "features drawn towards a memory bank of good ones", "arXiv 2206.04325",
        (
            ("backbone", str, "wide_resnet50_2"), ("gamma_c", int, 1), ("gamma_d", int, 1),
            ("num_nearest_neighbors", int, 3), ("num_hard_negative_features", int, 3), ("radius", float, 1e-5),
        ),
        epochs=30,
    ),
    Model(
        "cflow", "Cflow", "likelihoods of single feature vectors by flows", "arXiv 2107.12571",
        (
            *_backbone("wide_resnet50_2", ("layer2", "layer3", "layer4")), ("fiber_batch_size", int, 64),
            ("decoder", str, "freia-cflow"), ("condition_vector", int, 128), ("coupling_blocks", int, 8),
            ("clamp_alpha", float, 1.9), ("permute_soft", bool, False), ("lr", float, 1e-4),
        ),
        epochs=50, small=THREE,
    ),
    Model(
        "cfm", "CFM", "images and point clouds predicted from each other", "arXiv 2312.04521",
        (
            ("lr", float, 1e-4), ("rgb_backbone", str, "vit_base_patch8_224.dino"), ("group_size", int, 128),
            ("num_group", int, 1024), ("pointmae_weights", str | None, None),
        ),
        epochs=50, size=(224, 224), unfit="it needs a point cloud for each image, which adbench's data sets don't have",
    ),
    Model(
        "csflow", "Csflow", "the likelihood of features at three scales by one flow", "arXiv 2110.02855",
        (
            ("cross_conv_hidden_channels", int, 1024), ("n_coupling_blocks", int, 4), ("clamp", int, 3),
            ("num_channels", int, 3),
        ),
        epochs=240,
    ),
    Model(
        "dfkde", "Dfkde", "a kernel density of an image's features", "anomalib",
        (
            *_backbone("resnet18", ("layer4",)), ("n_pca_components", int, 16),
            ("feature_scaling_method", Literal["norm", "scale"], "scale"), ("max_training_points", int, 40000),
        ),
        small={"backbone": LITE0, "layers": ("blocks.6",)},
    ),
    Model(
        "dfm", "Dfm", "what principal components leave out of features", "arXiv 1909.11786",
        (
            ("backbone", str, "resnet50"), ("layer", str, "layer3"), ("pre_trained", bool, True),
            ("pooling_kernel_size", int, 4), ("pca_level", float, 0.97), ("score_type", Literal["fre", "nll"], "fre"),
        ),
        small={"backbone": LITE0, "layer": "blocks.4"},
    ),
    Model(
        "dinomaly", "Dinomaly", "features of a transformer restored by a decoder", "arXiv 2405.14325",
        (
            ("encoder_name", str, "vit_base_patch14_reg4_dinov2"), ("bottleneck_dropout", float, 0.2),
            ("decoder_depth", int, 8), ("target_layers", Numbers | None, None), ("remove_class_token", bool, False),
            ("use_context_recentering", bool, False), PRECISION,
        ),
        epochs=100, size=(392, 392), resize_to=(448, 448),
    ),
    Model(
        "draem", "Draem", "anomalies painted over good images, undone and outlined", "arXiv 2108.07610",
        (
            ("dtd_dir", str | None, "./datasets/dtd"), ("enable_sspcab", bool, False), ("sspcab_lambda", float, 0.1),
            ("beta", tuple[float, float], (0.1, 1.0)),
        ),
        epochs=700,
    ),
    Model(
        "dsr", "Dsr", "anomalies painted in a quantised feature space", "arXiv 2208.01521",
        (("latent_anomaly_strength", float, 0.2), ("upsampling_train_ratio", float, 0.7)), epochs=700,
    ),
    Model(
        "efficient_ad", "EfficientAd", "a student and an autoencoder of a small teacher", "arXiv 2303.14535",
        (
            ("imagenet_dir", str, "./datasets/imagenette"), ("teacher_out_channels", int, 384),
            ("model_size", Literal["small", "medium"], "small"), ("lr", float, 1e-4), ("weight_decay", float, 1e-5),
            ("padding", bool, False), ("pad_maps", bool, True),
        ),
        epochs=1000, batch_size=1, validation=0.1,
    ),
    Model(
        "fastflow", "Fastflow", "the likelihood of features by 2-D flows", "arXiv 2111.07677",
        (
            *_backbone("resnet18"), ("flow_steps", int, 8), ("conv3x3_only", bool, False),
            ("hidden_ratio", float, 1.0),
        ),
        epochs=500, small={"backbone": LITE0}, named="resnet18",
    ),
    Model(
        "foundad", "FoundAD", "a projection of a foundation model's features onto good ones", "arXiv 2510.01934",
        (
            ("encoder_name", str, "dinov2_vit_base_14"), ("pred_depth", int, 6), ("pred_emb_dim", int, 384),
            ("n_layer", int, 3), ("top_k", int, 10), ("dropout", float, 0.2), ("feat_normed", bool, False),
            ("use_pos_embed", bool, False), ("lr", float, 1e-3), ("weight_decay", float, 1e-4),
            ("color_jitter", float, 0.5), ("use_few_shot_augmentation", bool, True),
        ),
        epochs=2000, size=(518, 518),
    ),
    Model(
        "fre", "Fre", "an image's features restored by a linear autoencoder", "BMVC 2023, paper 614",
        (
            ("backbone", str, "resnet50"), ("layer", str, "layer3"), ("pre_trained", bool, True),
            ("pooling_kernel_size", int, 2), ("input_dim", int, 65536), ("latent_dim", int, 220),
        ),
        epochs=220, small={"backbone": LITE0, "layer": "blocks.4", "input_dim": 7168},
    ),
    Model(
        "ganomaly", "Ganomaly", "images restored by an adversarial autoencoder", "arXiv 1805.06725",
        (
            ("n_features", int, 64), ("latent_vec_size", int, 100), ("extra_layers", int, 0),
            ("add_final_conv_layer", bool, True), ("wadv", int, 1), ("wcon", int, 50), ("wenc", int, 1),
            ("lr", float, 2e-4), ("beta1", float, 0.5), ("beta2", float, 0.999),
        ),
        epochs=100, tied={"batch_size": "batch_size"},
    ),
    Model(
        "general_ad", "GeneralAD", "an attention discriminator between features and distorted ones", "arXiv 2407.12427",
        (
            ("backbone", str, "vit_large_patch14_dinov2.lvd142m"), ("layers", Numbers, (24,)),
            ("hidden_dim", int, 2048), ("lr", float, 5e-4), ("lr_decay_factor", float, 0.2),
            ("weight_decay", float, 1e-5), ("noise_std", float, 0.25), ("dsc_layers", int, 1), ("dsc_heads", int, 4),
            ("dsc_dropout", float, 0.1), ("num_fake_patches", int, -1), ("fake_feature_type", str, "random"),
            ("top_k", int, 10), ("pre_trained", bool, True),
        ),
        epochs=160, size=(518, 518), tied={"epochs": "max_epochs"},
    ),
    Model(
        "glass", "Glass", "anomalies made in features by ascending gradients", "arXiv 2407.09359",
        (
            ("anomaly_source_path", str | None, None), ("backbone", str, "wide_resnet50_2"),
            ("pretrain_embed_dim", int, 1536), ("target_embed_dim", int, 1536), ("patchsize", int, 3),
            ("patchstride", int, 1), ("pre_trained", bool, True), ("layers", Names | None, None),
            ("pre_projection", int, 1), ("discriminator_layers", int, 2), ("discriminator_hidden", int, 1024),
            ("learning_rate", float, 1e-4), ("step", int, 20), ("svd", int, 0), ("gaussian_noise_std", float, 0.015),
            ("radius_quantile", float, 0.75), ("focal_loss_quantile_threshold", float, 0.5), ("mining", bool, True),
        ),
        epochs=100, size=(288, 288), small={**TWO, "pretrain_embed_dim": 256, "target_embed_dim": 256},
        tied={"input_shape": "size"},
    ),
    Model(
        "inp_former", "InpFormer", "features restored from prototypes of the image itself", "arXiv 2503.02424",
        (
            ("encoder_name", str, "vit_base_patch14_reg4_dinov2"), ("target_layers", Numbers | None, None),
            ("remove_class_token", bool, True), ("inp_num", int, 6), PRECISION,
        ),
        epochs=200, size=(392, 392), resize_to=(448, 448),
    ),
    Model(
        "l2bt", "L2BT", "students that map a transformer's layers to each other", "IEEE Access 2025",
        (
            ("lr", float, 1e-4), ("layers", Numbers, (7, 11)), ("blur_w_l", int, 5), ("blur_w_u", int, 7),
            ("blur_pad_l", int, 2), ("blur_pad_u", int, 3), ("blur_repeats_l", int, 5), ("blur_repeats_u", int, 3),
            ("topk_ratio", float, 0.001),
        ),
        epochs=50, size=(224, 224),
    ),
    Model(
        "mh_patchcore", "MHPatchcore", "a memory bank with Mahalanobis distances", "arXiv 2605.27748",
        (
            *_backbone("wide_resnet50_2.tv2_in1k", ("layer2", "layer3")), ("pca_variance_ratio", float, 0.99),
            ("covariance_shrinkage", float, 0.07), ("memory_bank_size", int, 1000), ("local_coreset_size", int, 256),
            ("num_neighbors", int, 9),
        ),
        size=(224, 224), resize_to=(256, 256), small=TWO,
    ),
    Model(
        "padim", "Padim", "a Gaussian of features at each position", "arXiv 2011.08785",
        (*_backbone("resnet18", ("layer1", "layer2", "layer3")), ("n_features", int | None, None)),
        small={**THREE, "n_features": 100},
    ),
    Model(
        "patchcore", "Patchcore", "distances to a memory bank of good patches", "arXiv 2106.08265",
        (
            *_backbone("wide_resnet50_2", ("layer2", "layer3")), ("coreset_sampling_ratio", float, 0.1),
            ("num_neighbors", int, 9), PRECISION,
        ),
        small={**TWO, "coreset_sampling_ratio": 0.01},
    ),
    Model(
        "patchflow", "Patchflow", "the likelihood of adapted patch features by flows", "arXiv 2602.05238",
        (
            ("backbone", str, "tf_efficientnet_b5"), ("pre_trained", bool, True), ("flow_steps", int, 1),
            ("flow_feature_dim", int, 128), ("num_scales", int, 3), ("patch_size", int, 3),
            ("flow_hidden_dim", int, 128), ("crop_size", tuple[int, int] | None, None), ("lr", float, 1e-3),
            ("weight_decay", float, 1e-4),
        ),
        epochs=200, size=(768, 768), small={"backbone": LITE0, "size": (256, 256)},
    ),
    Model(
        "rad", "Rad", "retrieval of similar good images and their patches", "arXiv 2601.22763",
        (
            ("backbone", str, "vit_base_patch16_dinov3"), ("layers", Numbers | None, None), ("pre_trained", bool, True),
            ("k_image", int, 150), ("use_positional_bank", bool, True), ("pos_radius", int, 1),
            ("max_ratio", float, 0.01), ("layer_weights", tuple[float, ...] | None, None),
        ),
        size=(448, 448), resize_to=(512, 512),
    ),
    Model(
        "reverse_distillation", "ReverseDistillation", "features restored from a small code", "arXiv 2201.10703",
        (
            ("backbone", str, "wide_resnet50_2"), ("layers", Names, ("layer1", "layer2", "layer3")),
            ("anomaly_map_mode", Literal["add", "multiply"], "add"), ("pre_trained", bool, True),
        ),
        epochs=200, small={"backbone": "resnet18"},
    ),
    Model(
        "stfpm", "Stfpm", "a student of a frozen network, compared at three levels", "arXiv 2103.04257",
        (("backbone", str, "resnet18"), ("layers", Names, ("layer1", "layer2", "layer3"))), epochs=100, small=THREE,
    ),
    Model(
        "super_add", "SuperADD", "a memory bank of patches in overlapping tiles", "arXiv 2605.14808",
        (
            ("backbone", str, "vit_huge_plus_patch16_dinov3"), ("patch_size", int, 448), ("patch_overlap", int, 16),
            ("layers", Numbers | None, None), ("gaussian_blur_sigma", float, 4.0), ("score_quantile", float, 0.001),
            PRECISION,
        ),
        size=(448, 448),
    ),
    Model(
        "supersimplenet", "Supersimplenet", "noise on features as anomalies; two heads find it", "arXiv 2408.03143",
        (
            ("perlin_threshold", float, 0.2), ("backbone", str, "wide_resnet50_2.tv_in1k"),
            ("layers", Names, ("layer2", "layer3")), ("supervised", bool, False), ("adapt_cls_features", bool, False),
        ),
        epochs=300, small=TWO,
    ),
    Model(
        "uflow", "Uflow", "the likelihood of features from the coarsest level to the finest", "arXiv 2211.12353",
        (
            ("backbone", str, "mcait"), ("flow_steps", int, 4), ("affine_clamp", float, 2.0),
            ("affine_subnet_channels_ratio", float, 1.0), ("permute_soft", bool, False),
        ),
        epochs=200, size=(448, 448),
    ),
    Model(
        "uninet", "UniNet", "a contrastive student of a teacher that is trained, too", "CVPR 2025",
        (
            ("student_backbone", str, "wide_resnet50_2"), ("teacher_backbone", str, "wide_resnet50_2"),
            ("temperature", float, 0.1),
        ),
        epochs=100,
    ),
    Model(
        "vlm_ad", "VlmAd", "a chat model that is shown the image", "anomalib",
        (
            ("model", str, "llava"), ("api_key", str | None, None), ("k_shot", int, 0),
            ("hf_model_revision", str | None, None),
        ),
        unfit="it sends image files to a chat service, and answers yes or no instead of a score",
    ),
    Model(
        "winclip", "WinClip", "texts that describe good and bad images, compared with windows of the image",
        "arXiv 2303.14814",
        (
            ("class_name", str | None, None), ("k_shot", int, 0), ("scales", Numbers, (2, 3)),
            ("few_shot_source", str | None, None),
        ),
        size=(240, 240),
    ),
)
# fmt: on
"""All image models. Left out are arguments that adbench can't read, lists of lists and torch types, and those tied."""
