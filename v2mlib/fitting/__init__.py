"""Fitting models to data: supervised training, pretraining, baselines; the one engine."""

import importlib

_HOMES = {
    "AblationConfig": "ablation_config",
    "AdversarialConfig": "adversarial",
    "Cascade": "cascade",
    "EngineConfig": "task",
    "FitConfig": "landmarks",
    "PretrainingConfig": "pretraining",
    "ReferenceFaces": "truth",
    "SupervisedConfig": "supervised",
    "TeacherConfig": "teacher_training",
    "TruthConfig": "truth_rules",
    "UnsupervisedConfig": "unsupervised",
    "fit_landmarks": "landmarks",
    "line_measures": "truth",
    "predict_cascade": "cascade",
    "predict_world": "prediction",
    "pretrain_encoder": "pretraining",
    "reference_faces": "truth",
    "run_ablation": "ablation",
    "shipped_ablation": "ablation_files",
    "shipped_predictions": "shipped",
    "train_adversarial": "adversarial",
    "train_supervised": "supervised",
    "train_teacher": "teacher_training",
    "train_unsupervised": "unsupervised",
}
_ROOMS = ("baselines", "distillation")

__all__ = [*_HOMES, *_ROOMS]


def __getattr__(name):
    """Import on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names."""
    return sorted(__all__)
