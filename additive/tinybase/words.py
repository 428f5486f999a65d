"""Names and things; the last third of each table is kept for held-out items of the domains."""

from __future__ import annotations

BOYS = tuple(
    "Tom Ben Sam Max Leo Jack Adam Paul Mark Luke Hugo Finn Omar Ivan Carl Noah Eric Alan "
    "Peter David Simon Felix Oscar Victor".split()
)
GIRLS = tuple(
    "Ann Mia Eva Lily Emma Nora Lucy Kate Rosa Jane Maria Clara Sara Anna Ella Ruth Grace Alice "
    "Laura Diana Helen Julia Sofia Olga".split()
)
NAMES = tuple(name for pair in zip(BOYS, GIRLS, strict=True) for name in pair)
THINGS = tuple(
    "apples pears pens books coins cards stamps shells marbles stickers eggs cookies candles "
    "flowers stones buttons balls cups plums keys lemons oranges pencils beads toys ribbons "
    "nuts tickets carrots bottles "
    "peaches cherries photos badges spoons plates hats socks rings shirts leaves potatoes "
    "magnets puzzles postcards".split()
)
KNOWN_NAMES = NAMES[:32]
NEW_NAMES = NAMES[32:]
KNOWN_THINGS = THINGS[:30]
NEW_THINGS = THINGS[30:]
