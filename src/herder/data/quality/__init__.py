"""Photos and labels looked at closely: what is broken, blank, doubled or mislabelled, and where it goes.

``check_photo`` looks at one file, ``run_checks`` at a dataset, ``near_duplicate_groups`` at which photos must stay
together; ``quarantine`` and ``cleaning`` put aside what failed.
"""

from herder.data.quality.config import QualityConfig
from herder.data.quality.duplicates import DuplicateGroup, DuplicateLink, group_duplicates
from herder.data.quality.photo_checks import PhotoFinding, check_photo
from herder.data.quality.run import QualityReport, check_photos, near_duplicate_groups, run_checks

__all__ = [
    "DuplicateGroup",
    "DuplicateLink",
    "PhotoFinding",
    "QualityConfig",
    "QualityReport",
    "check_photo",
    "check_photos",
    "group_duplicates",
    "near_duplicate_groups",
    "run_checks",
]
