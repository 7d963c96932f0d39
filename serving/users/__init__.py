"""Features and recent history of users at request time, from a store beside the model.

The model's own tables are as old as its export; a store is loaded from a dataset (`python -m serving.load_users`) and
takes events while it runs, so that the next request already knows them.
"""

from serving.users.event import Event
from serving.users.lookup import UserLookup
from serving.users.record import UserRecord
from serving.users.store import UserStore, append, open_store

__all__ = ["Event", "UserLookup", "UserRecord", "UserStore", "append", "open_store"]
