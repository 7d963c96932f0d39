"""What a job's model is built with."""

from tests.trainer.plain_models import REGISTERED
from tests.trainer.raw_rows import RawLog
from tfrec.models import registry
from trainer.model import build_model


def test_a_solved_model_gets_the_seed_and_user_ids_only_where_it_wants_them(world, monkeypatch):
    monkeypatch.setitem(registry._MODELS, "item_means", REGISTERED["item_means"])
    data = world.data()
    plain = build_model(world.config("item_means", seed=7), data)
    assert plain.seed == 7
    assert plain.inputs.user_ids is None
    reciprocal = build_model(world.config("item_means", "model.reciprocal=true"), data)
    log, ids = RawLog(world.logs), [user_id.decode() for user_id in reciprocal.inputs.user_ids]
    assert sorted(ids) == sorted(log.users)
    for event in log.of_split("train")[::500]:  # by user index: events point to them
        row = (data.train["user_index"] == ids.index(event.user_id)) & (
            data.train["item_index"] == [i.decode() for i in data.catalogue.ids].index(event.item_id)
        )
        assert row.any()
