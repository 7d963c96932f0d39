"""What a column's name says about its role."""

from __future__ import annotations

import re
from typing import Literal

NamedRole = Literal["user", "item", "label", "time"]


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_USER = _set(
    "user customer visitor client member account buyer shopper reader listener viewer reviewer person player "
    "consumer subscriber cust uid usr"
)
_ITEM = _set(
    "item movie film product article book song track video sku asin isbn listing restaurant recipe news game app "
    "content anime business offer document doc hotel course show place poi artist ad iid mid pid"
)
_LABEL = _set(
    "rating score star stars rate grade label target click clicked purchased converted conversion liked overall"
)
_TIME = _set("timestamp time ts datetime date unixtime epoch timestamps datetimes")
_UNITS = _set("s ms us sec secs seconds millis milliseconds utc unix")
_ID = _set("id ids key no nr number code idx index hash")
_CODES = _ID | _set("zip zipcode postal postcode phone year")


def words(name: str) -> list[str]:
    """`userId` → [user, id]; `Unix review_time` → [unix, review, time]."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W_]+", spaced)]


def role_of_name(name: str) -> NamedRole | None:
    """The role that a name claims: an id, a label or a time; None for other names, such as `user_age`."""
    found = words(name)
    if not found:
        return None
    stem = _without_id(found)
    for role, known in (("user", _USER), ("item", _ITEM)):
        if stem and stem[-1] in known and (len(stem) < len(found) or len(found) == 1 or _fused(found[-1])):
            return "user" if role == "user" else "item"
    if found[-1] in _LABEL:
        return "label"
    while len(found) > 1 and found[-1] in _UNITS:
        found = found[:-1]
    if found[-1] in _TIME or found[-2:] == ["created", "at"]:
        return "time"
    return None


def names_a_code(name: str) -> bool:
    """Whether numbers under this name are names of things rather than amounts, such as a zip code."""
    return bool(set(words(name)) & _CODES)


def _without_id(found: list[str]) -> list[str]:
    """The words without the part that says id; `visitorid` counts as two words."""
    if _fused(found[-1]):
        return [*found[:-1], found[-1].removesuffix("id")]
    return found[:-1] if found[-1] in _ID and len(found) > 1 else found


def _fused(word: str) -> bool:
    return word.endswith("id") and word.removesuffix("id") in _USER | _ITEM
