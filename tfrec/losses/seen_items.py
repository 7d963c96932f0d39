r"""Items of a step's own past, which a softmax over the catalogue may leave out.

.. math:: L_t = \log \sum_{j \notin X_t \setminus \{y_t\}} e^{s_{tj}} - s_{t y_t}

X_t holds the items of the window from where the past of step t begins to the step itself. Where nothing is taken twice,
and what was seen is no answer, a model need not learn to keep such items down: nobody will ask it to rank them.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

LEFT_OUT = -1e30  # added once for each time that an item is seen: e to it is 0, and sums of thousands stay finite


class SeenItems(NamedTuple):
    """Items of windows, of which each step has seen those from its first one to itself.

    Attributes:
        items: places in the catalogue; the catalogue's size for what has none. int32 [windows, length]
        first: column in which the past of each step begins. int32 [windows · length]

    """

    items: tf.Tensor
    first: tf.Tensor

    @classmethod
    def of_windows(cls, items: tf.Tensor, places: tf.Tensor, num_items: int) -> SeenItems:
        """Of packed windows.

        Args:
            items: places in the catalogue, below 0 for what has none. int64 [windows, length]
            places: of the steps in their segments, from 0. int32 [windows, length]
            num_items: size of the catalogue.

        """
        items = tf.cast(items, tf.int32)
        first = tf.range(tf.shape(places)[1]) - places
        return cls(tf.where(items < 0, num_items, items), tf.reshape(first, [-1]))

    def offsets(self, begin: tf.Tensor, targets: tf.Tensor, num_items: tf.Tensor) -> tf.Tensor:
        """What is added to the logits of some steps: 0, or so little that nothing is left of them.

        Args:
            begin: the first of the steps, window after window.
            targets: of each of them the item that is never left out. int [steps]
            num_items: size of the catalogue.

        Returns:
            float32 [steps, num_items].

        """
        length = tf.shape(self.items)[1]
        steps = tf.range(begin, begin + tf.size(targets))
        columns = tf.range(length)[None, :]
        items = tf.gather(self.items, steps // length)
        is_past = (columns >= tf.gather(self.first, steps)[:, None]) & (columns <= (steps % length)[:, None])
        left_out = tf.where(is_past & (items != tf.cast(targets, tf.int32)[:, None]), items, num_items)
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        return (scattered if has_gpu else counted)(left_out, num_items)


def counted(left_out: tf.Tensor, num_items: tf.Tensor) -> tf.Tensor:
    """A matrix of few entries by counting: a third of the time of scattering on a CPU.

    Args:
        left_out: items of each row; what is not below `num_items` is none. int32 [rows, length]
        num_items: columns of the matrix.

    Returns:
        `LEFT_OUT` for each time that an item stands in the row, else 0. float32 [rows, num_items]

    """
    weights = tf.fill(tf.shape(left_out), LEFT_OUT)
    found = tf.raw_ops.DenseBincount(input=left_out, size=num_items, weights=weights, binary_output=False)
    return tf.ensure_shape(found, [None, None])


def scattered(left_out: tf.Tensor, num_items: tf.Tensor) -> tf.Tensor:
    """The same by scattering: counting is not deterministic on a GPU, so that TensorFlow refuses it in training."""
    places = tf.where(left_out < num_items)
    cells = tf.stack([tf.cast(places[:, 0], tf.int32), tf.gather_nd(left_out, places)], axis=1)
    weights = tf.fill(tf.shape(cells)[:1], LEFT_OUT)
    return tf.ensure_shape(tf.scatter_nd(cells, weights, tf.stack([tf.shape(left_out)[0], num_items])), [None, None])
