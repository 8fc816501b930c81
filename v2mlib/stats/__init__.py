"""Tests, intervals and reliability of tables; the unit of analysis is the identity."""

import importlib

_HOMES = {
    "StudyDesign": "studies",
    "adjust": "multiplicity",
    "age_bands": "dealing",
    "attainable_r_squared": "information",
    "attention": "clustered",
    "binomial_band": "calibration",
    "bootstrap_means": "resampling",
    "breakdown": "clustered",
    "canonical_information_bits": "information",
    "cluster_bootstrap": "clustered",
    "coherence_table": "coherence",
    "combined_strata": "dealing",
    "corrected_resampled_t_test": "splits",
    "coverage_rates": "calibration",
    "detectable_correlation": "power",
    "difference_table": "null_tables",
    "disattenuated_r_squared": "information",
    "explained_share": "correlation",
    "face_spread": "coherence",
    "gaussian_information_bits": "information",
    "hierarchical_bootstrap": "resampling",
    "icc": "reliability",
    "identities_for_correlation": "power",
    "identity_bits": "information",
    "implied_count": "preference",
    "mixed_preference": "mixed",
    "mixed_preference_table": "mixed",
    "order_bias": "clustered",
    "pairing_table": "null_tables",
    "pairing_test": "permutation",
    "pairwise_distance": "permutation",
    "pairwise_error": "permutation",
    "pairwise_product": "permutation",
    "partial_correlation": "correlation",
    "permutation_test": "permutation",
    "power_correlation": "power",
    "power_paired": "power",
    "power_regression": "power",
    "preference_power": "preference",
    "preference_table": "preference",
    "preference_test": "preference",
    "rejection_rates": "calibration",
    "require_answers": "studies",
    "sex_information_bits": "information",
    "simulate_study": "studies",
    "smallest_rejecting_count": "preference",
    "split_half": "reliability",
    "voice_information_bits": "information",
}

__all__ = [*_HOMES]


def __getattr__(name):
    """Import on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names."""
    return sorted(__all__)
