"""The standard event types and the other vocabularies' names for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STANDARD_TYPES: tuple[str, ...] = (
    "impression",
    "view",
    "click",
    "add_to_cart",
    "remove_from_cart",
    "purchase",
    "rating",
    "dwell",
    "like",
    "share",
    "comment",
    "follow",
    "bookmark",
    "dislike",
    "return",
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        # Google Analytics 4, recommended ecommerce events
        "view_item": "view",
        "page_view": "view",
        "view_item_list": "impression",
        "view_promotion": "impression",
        "select_item": "click",
        "select_content": "click",
        "select_promotion": "click",
        "add_to_wishlist": "bookmark",
        "refund": "return",
        "user_engagement": "dwell",
        # Segment and RudderStack, ecommerce spec
        "Product Viewed": "view",
        "Product List Viewed": "impression",
        "Product Clicked": "click",
        "Product Added": "add_to_cart",
        "Product Removed": "remove_from_cart",
        "Order Completed": "purchase",
        "Order Refunded": "return",
        "Product Added to Wishlist": "bookmark",
        "Product Shared": "share",
        "Product Reviewed": "rating",
        # Snowplow, ecommerce and web events
        "product_view": "view",
        "list_view": "impression",
        "list_click": "click",
        "link_click": "click",
        "transaction": "purchase",
        "page_ping": "dwell",
    }
)
"""Names of GA4, Segment/RudderStack and Snowplow, each to its standard type.

Names that these vocabularies share with ours (`add_to_cart`, `purchase`, `share`, ...) need no entry.
"""


def canonical_type(name: str) -> str:
    """The standard name for `name`; a name without an alias is returned as it is."""
    return ALIASES.get(name, name)
