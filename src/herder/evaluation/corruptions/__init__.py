"""Photos made worse on purpose: 15 published corruptions at five severities, and low light, occlusion and scale."""

from herder.evaluation.corruptions.catalogue import CORRUPTIONS, SEVERITIES, Corrupted, Corruption, Group, corrupt

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corrupted", "Corruption", "Group", "corrupt"]
