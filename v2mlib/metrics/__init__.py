"""Measures of predicted faces, and of how much of the attainable gain they reach."""

from v2mlib.metrics.ratios import absolute_ratio_error, line_jacobian, line_lengths, line_ratios

__all__ = ["absolute_ratio_error", "line_jacobian", "line_lengths", "line_ratios"]
