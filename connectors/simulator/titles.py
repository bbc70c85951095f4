"""Readable names for simulated items: a maker, a trait and a thing of the item's category."""

from __future__ import annotations

import numpy as np

_CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("coffee", ("Espresso Cups", "Pour-over Kettle", "Coffee Grinder", "Moka Pot", "Milk Frother")),
    ("cycling", ("Road Helmet", "Bar Tape", "Commuter Panniers", "Rain Cape", "Bike Light Set")),
    ("gardening", ("Pruning Shears", "Seed Tray", "Watering Can", "Raised Bed", "Garden Trowel")),
    ("camping", ("Two-person Tent", "Down Quilt", "Gas Stove", "Dry Bag", "Camp Chair")),
    ("running", ("Trail Shoes", "Running Belt", "Wind Jacket", "Recovery Socks", "Head Torch")),
    ("books", ("Mystery Novel", "Cookbook", "Field Guide", "Short Stories", "Travel Memoir")),
    ("audio", ("Over-ear Headphones", "Bookshelf Speakers", "Turntable", "Desk Microphone", "Earbuds")),
    ("kitchen", ("Chef's Knife", "Cast-iron Pan", "Mixing Bowls", "Salad Spinner", "Baking Sheet")),
    ("toys", ("Marble Run", "Wooden Train", "Puzzle", "Building Blocks", "Kite")),
    ("office", ("Desk Lamp", "Notebook Set", "Fountain Pen", "Monitor Stand", "File Box")),
    ("skincare", ("Night Cream", "Clay Mask", "Hand Balm", "Sun Lotion", "Cleansing Oil")),
    ("fishing", ("Spinning Rod", "Tackle Box", "Landing Net", "Fly Reel", "Waders")),
    ("pets", ("Dog Bed", "Cat Tree", "Slow Feeder", "Leash", "Bird Perch")),
    ("photography", ("Tripod", "Camera Strap", "Prime Lens", "Light Meter", "Photo Album")),
    ("yoga", ("Cork Mat", "Bolster", "Foam Roller", "Resistance Bands", "Meditation Cushion")),
    ("tools", ("Cordless Drill", "Socket Set", "Spirit Level", "Hand Plane", "Work Gloves")),
    ("tea", ("Oolong Sampler", "Glass Teapot", "Matcha Whisk", "Tea Tin", "Herbal Blend")),
    ("lighting", ("Floor Lamp", "String Lights", "Reading Lamp", "Paper Lantern", "Wall Sconce")),
    ("music", ("Ukulele", "Guitar Strings", "Metronome", "Practice Pad", "Music Stand")),
    ("winter sports", ("Ski Goggles", "Merino Base Layer", "Snowshoes", "Ski Gloves", "Ice Skates")),
)
_MAKERS = (
    "Alder",
    "Birch & Co",
    "Cobalt",
    "Dunmore",
    "Elm Street",
    "Fjord",
    "Gale",
    "Harbour",
    "Iris",
    "Juniper",
)
_TRAITS = (
    "Classic",
    "Compact",
    "Everyday",
    "Light",
    "Heritage",
    "Quiet",
    "Sturdy",
    "Travel",
    "Weekend",
    "Fine",
)


def item_title(category: int, serial: int, rng: np.random.Generator) -> str:
    """A title such as `Fjord Compact Moka Pot no. 17`; `serial` keeps two of a kind apart."""
    _, things = _CATEGORIES[category % len(_CATEGORIES)]
    maker, trait, thing = (names[int(rng.integers(len(names)))] for names in (_MAKERS, _TRAITS, things))
    return f"{maker} {trait} {thing} no. {serial}"
