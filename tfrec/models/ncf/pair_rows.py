r"""Sums of a user's and an item's row for each pair, and their gradients.

.. math:: x_{bk} = a_{u_b} + c_{i_{bk}}, \qquad \nabla a_u = \sum_{b:\, u_b = u} \sum_k \nabla x_{bk}, \quad
          \nabla c_i = \sum_{b, k:\, i_{bk} = i} \nabla x_{bk}

The first layer of a tower over :math:`[p_u; q_i]` is such a sum of :math:`a = W_p p` and :math:`c = W_q q`: so it is
multiplied once for each user and each item, and not for each pair.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec.row_sums import sum_rows


def pair_rows(users: tf.Tensor, items: tf.Tensor, user_rows: tf.Tensor, item_rows: tf.Tensor) -> tf.Tensor:
    """Sums of rows; the gradients of both tables are dense.

    Args:
        users: float32 [num_users, width].
        items: float32 [num_items, width].
        user_rows: int64 [batch].
        item_rows: int64 [batch, n].

    Returns:
        float32 [batch, n, width].

    """
    width = users.shape[1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(a: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_users = sum_rows(tf.reduce_sum(upstream, axis=1), user_rows, tf.shape(a)[0])
            of_items = sum_rows(tf.reshape(upstream, [-1, width]), tf.reshape(item_rows, [-1]), tf.shape(c)[0])
            return tf.ensure_shape(of_users, a.shape), tf.ensure_shape(of_items, c.shape)

        return tf.gather(a, user_rows)[:, None, :] + tf.gather(c, item_rows), gradient

    return sums(users, items)
