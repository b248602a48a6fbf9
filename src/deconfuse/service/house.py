"""The house: everything that a use case needs, in one record that is handed to it first.

`app` builds it from the settings; a test builds it from an in-memory database and a fixed clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deconfuse.formats.manifest import AWS_LIMITS, ManifestLimits
from deconfuse.vision.images import MANIFEST_LIMITS
from deconfuse.vision.images import Limits as ImageLimits

if TYPE_CHECKING:
    from deconfuse.engine.predictor import Models
    from deconfuse.names import ObjectAddress
    from deconfuse.store.database import Database
    from deconfuse.store.local import LocalObjects
    from deconfuse.store.objects import Objects
    from deconfuse.vision.backbone import Backbone


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """How much there may be; 0 means any number. The numbers are AWS's; AWS runs 2 versions at once.

    Attributes:
        projects: projects in all.
        versions: versions of one project.
        trainings: versions that are being trained at once; one more is refused.
        copies: versions that are being copied at once.
        running: versions that are started at once.
        units: inference units of one version.
        policies: policies of one project.
        manifest: of manifests, and of what a dataset may hold.
        images: of images that a dataset names.
        detect_bytes: of an image that comes in a request.
    """

    projects: int = 100
    versions: int = 100
    trainings: int = 2
    copies: int = 10
    running: int = 10
    units: int = 5
    policies: int = 50
    manifest: ManifestLimits = AWS_LIMITS
    images: ImageLimits = MANIFEST_LIMITS
    detect_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class House:
    """What use cases work with.

    Attributes:
        database: the registry's, and that of local objects.
        objects: where datasets, images and results are read and written.
        local: the same store, where its buckets are ours to serve; None where it is somebody else's S3.
        models: started versions, loaded.
        load_backbone: loads the one backbone that every version shares; `models` keep one of their own.
        cache: the directory of embeddings.
        threads: images in work at once.
        region: written into ARNs.
        account: written into ARNs; twelve digits.
        clock: the present moment, with a time zone.
        token_hex: so many random bytes, in hexadecimal.
        wake: called after a job was added, so that it is taken up at once.
        limits: how much there may be.
        own_place: the bucket, and what keys begin with, of the service's own objects in somebody else's S3; None where
            that is not the store.
    """

    database: Database
    objects: Objects
    local: LocalObjects | None
    models: Models
    load_backbone: Callable[[], Backbone]
    cache: Path
    threads: int
    region: str
    account: str
    clock: Callable[[], datetime]
    token_hex: Callable[[int], str]
    wake: Callable[[], None] = lambda: None
    limits: ServiceLimits = field(default=ServiceLimits())
    own_place: ObjectAddress | None = None

    @property
    def now_ms(self) -> int:
        """The present moment in whole milliseconds since 1970 UTC."""
        from deconfuse.store.database import to_ms

        return to_ms(self.clock())
