"""A job's optimiser, from its config."""

from __future__ import annotations

import tensorflow as tf

from tfrec.models.learning import GradientModel
from tfrec.optimizers import SGD, Adagrad, Adam, Ftrl, Group, RowOptimizer, Rule
from trainer.config import TrainConfig
from trainer.training.schedule import learning_rate


def make_optimizer(config: TrainConfig, model: GradientModel, total_steps: int) -> RowOptimizer:
    """The optimiser that the config names, built for the model's variables.

    Args:
        config: how to train.
        model: its linear part follows `wide_optimizer`.
        total_steps: of all epochs, over which the learning rate decays.

    """
    groups = []
    if config.wide_optimizer is not None:
        wide = config.wide_optimizer
        names = frozenset(_name(variable) for variable in model.wide_variables())
        rule = _rule(wide.name, wide.l1, wide.l2)
        rate = learning_rate(config.schedule, wide.learning_rate, total_steps)
        groups.append(Group(rule, rate, names.__contains__))
    rule = _rule(config.optimizer, beta_2=config.beta_2)
    groups.append(Group(rule, learning_rate(config.schedule, config.learning_rate, total_steps)))
    optimizer = RowOptimizer(groups, clip_norm=config.clip_norm, average_decay=config.average_decay)
    optimizer.build(model.trainable_variables)
    return optimizer


def loss_scaled(optimizer: RowOptimizer, config: TrainConfig) -> tf.keras.optimizers.Optimizer:
    """In float16 small gradients would vanish: the loss is scaled up, the gradients down again (Micikevicius 2018)."""
    if config.precision != "float16":
        return optimizer
    return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)


def _name(variable: tf.Variable) -> str:
    return str(variable.name).partition(":")[0]


def _rule(name: str, l1: float = 0.0, l2: float = 0.0, beta_2: float = 0.999) -> Rule:
    rules: dict[str, Rule] = {
        "adam": Adam(beta_2=beta_2),
        "dense_adam": Adam(beta_2=beta_2, dense=True),
        "adagrad": Adagrad(),
        "ftrl": Ftrl(l1, l2),
        "sgd": SGD(),
    }
    return rules[name]
