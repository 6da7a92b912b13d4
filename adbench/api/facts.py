"""What is known of a published data set beside its images: licence, citation, archives, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Archive:
    """A file in which a data set, or one class of it, is published.

    Attributes:
        name: of the file.
        url: where it can be loaded from; empty where its page asks for a form or an account first.
        sha256: of its content, 64 hex digits; empty where no source gives it.
        md5: where a source gives this alone, 32 hex digits.
        bytes: its length; None where no source gives it.
        class_name: the class in it; empty for all classes.
    """

    name: str
    url: str = ""
    sha256: str = ""
    md5: str = ""
    bytes: int | None = None
    class_name: str = ""


@dataclass(frozen=True)
class Counts:
    """Published numbers of images, of a class or of a whole data set; None where no source gives one.

    Attributes:
        train: good images for training.
        validation: good images that are kept apart from training.
        good: good test images.
        bad: defective test images.
        kinds: defective test images by type of defect, where the types are known.
        unlabelled: images of test splits without labels, by split.
        total: good and defective images of data sets without a split, together with test and training images.
    """

    train: int | None = None
    validation: int | None = None
    good: int | None = None
    bad: int | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    total: tuple[int, int] | None = None


@dataclass(frozen=True)
class Submission:
    """The private test images of a data set, whose maps its server evaluates.

    Attributes:
        server: its address.
        names: the names of a class's images without suffix, counted from 0, by test split: "{:03d}_regular".
    """

    server: str
    names: Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """What is known of a published data set.

    Attributes:
        classes: the names of all classes; empty where they are the user's own.
        licence: of the images, in a few words; empty where none is stated.
        citation: authors, title, year, and where it is published.
        page: its web page.
        masks: what masks there are, in a few words.
        archives: the files in which it is published.
        counts: published numbers by class; under the empty name those of the whole data set.
        notes: what a user should know, such as a form to fill in, or a reader's own split.
        submission: the private test images, if the data set has a server for them.
    """

    classes: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    page: str = ""
    masks: str = ""
    archives: tuple[Archive, ...] = ()
    counts: Mapping[str, Counts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    submission: Submission | None = None
