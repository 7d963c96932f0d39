"""The mixture of experts against loops over tasks, experts and layers."""

import numpy as np
import tensorflow as tf

from tfrec.layers.mixture_of_experts import MixtureOfExperts


def plain(layer, x, task):
    """f^k of one row, by loops."""
    kernels, biases = [v.numpy() for v in layer.kernels], [v.numpy() for v in layer.biases]
    experts = len(biases[0])
    outputs = []
    for expert in range(experts):
        width = biases[0].shape[1]
        hidden = np.maximum(x @ kernels[0][:, expert * width : (expert + 1) * width] + biases[0][expert], 0)
        for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
            hidden = np.maximum(hidden @ kernel[expert] + bias[expert], 0)
        outputs.append(hidden)
    if layer.gates is None:
        return outputs[0]
    z = x @ layer.gates.numpy()[:, task * experts : (task + 1) * experts]
    gate = np.exp(z) / np.exp(z).sum()
    return sum(share * output for share, output in zip(gate, outputs, strict=True))


def test_each_task_gets_its_own_mixture_of_the_same_experts():
    random = np.random.default_rng(1)
    for experts, units in ((3, [5, 4]), (2, [6]), (1, [5, 4])):
        layer = MixtureOfExperts(7, units, experts=experts, tasks=2, seed=3)
        for bias in layer.biases:
            bias.assign(random.normal(size=bias.shape))
        x = random.normal(size=(6, 7)).astype(np.float32)
        found = layer(tf.constant(x))
        assert len(found) == 2
        for task in range(2):
            expected = [plain(layer, row, task) for row in x]
            np.testing.assert_allclose(found[task], expected, rtol=1e-4, atol=1e-5)


def test_one_expert_is_the_shared_bottom_without_gates():
    layer = MixtureOfExperts(4, [3], experts=1, tasks=3, seed=1)
    assert layer.gates is None
    one, other, third = layer(tf.ones([2, 4]))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, third)


def test_the_rows_of_kernels_and_gates_belong_to_the_fields_of_the_input():
    layer = MixtureOfExperts(6, [3], experts=2, tasks=2, seed=1)
    found = [
        (table.variable.shape.as_list(), table.feature, table.first_row, table.rows)
        for table in layer.id_tables([(0, "a"), (1, "b")], 3)
    ]
    assert found == [([6, 6], "a", 0, 3), ([6, 6], "b", 3, 3), ([6, 4], "a", 0, 3), ([6, 4], "b", 3, 3)]
