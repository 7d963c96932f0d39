"""Names that records and requests have beside those of the features."""

# Names that every record has beside the features.
USER_INDEX = "user_index"  # int64, the row of users/
ITEM_INDEX = "item_index"  # int64, the row of items/
EVENT_POSITION = "event_position"  # int64, 0 for the user's first event in the log
EVENT_TIME_MS = "event_time_ms"  # int64, Unix time
LABEL = "label"  # float32
# And those that it has where the schema asks for them.
WEIGHT = "weight"  # float32
PROPENSITY = "propensity"  # float32, the probability with which the event's item was shown
REQUEST_ID = "request_id"  # bytes, of the impression or session as the log has it
SESSION_INDEX = "session_index"  # int64, 0 for the user's first session
SESSION_POSITION = "session_position"  # int64, 0 for the first event of its session
GAP_SECONDS = "gap_seconds"  # float32, since the user's event before; the name of a sequence's content
EVENT_COUNT = "event_count"  # int64, in users/ and items/: events in the log, earlier runs included
RESERVED_NAMES = frozenset(
    {
        *(USER_INDEX, ITEM_INDEX, EVENT_POSITION, EVENT_TIME_MS, LABEL, WEIGHT, PROPENSITY, REQUEST_ID),
        *(SESSION_INDEX, SESSION_POSITION, GAP_SECONDS, EVENT_COUNT),
    }
)
# Names that a signature of the exported model takes beside the features.
REQUEST_NAMES = frozenset({"k", "exclude_ids", "exclude_seen", "allow_ids", "candidate_ids", "examples"})
# Names that it answers by beside those of the targets.
ANSWER_NAMES = frozenset({"scores"})
