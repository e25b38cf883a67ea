"""The closed loop: generate, predict, choose, verify, learn, record, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.discovery.campaign import Campaign, discover
    from materialabs.discovery.constraints import Constraints, PropertyRange
    from materialabs.discovery.objectives import Objective
    from materialabs.discovery.request import CampaignRequest
    from materialabs.discovery.worker import work

_HOMES: Final = {
    "Campaign": "materialabs.discovery.campaign",
    "CampaignRequest": "materialabs.discovery.request",
    "Constraints": "materialabs.discovery.constraints",
    "Objective": "materialabs.discovery.objectives",
    "PropertyRange": "materialabs.discovery.constraints",
    "discover": "materialabs.discovery.campaign",
    "work": "materialabs.discovery.worker",
}

__all__ = [
    "Campaign",
    "CampaignRequest",
    "Constraints",
    "Objective",
    "PropertyRange",
    "discover",
    "work",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
