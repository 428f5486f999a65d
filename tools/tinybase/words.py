"""Tables of words: names and things of stories, facts and scenes of general text.

The last third of names and of things is kept for held-out items of the domains. One or more frames
in `general` read each table of facts.
"""

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


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    parted = (part.partition(":") for part in text.split())
    return tuple((given, wanted) for given, _, wanted in parted)


OPPOSITES = _pairs(
    "hot:cold big:small up:down day:night black:white fast:slow old:young hard:soft wet:dry "
    "light:dark high:low long:short rich:poor full:empty open:shut happy:sad left:right "
    "strong:weak thick:thin near:far early:late clean:dirty heavy:slim loud:quiet sweet:bitter "
    "good:bad true:false first:last sharp:blunt wide:narrow deep:shallow warm:cool brave:scared "
    "push:pull come:go buy:sell win:lose begin:end rise:fall give:take"
)
COLORS = _pairs(
    "grass:green snow:white coal:black blood:red sky:blue banana:yellow carrot:orange "
    "cherry:red milk:white leaf:green sun:yellow night:black plum:purple chocolate:brown "
    "lemon:yellow frog:green swan:white raven:black tomato:red pumpkin:orange ocean:blue "
    "mouse:gray elephant:gray wood:brown cucumber:green salt:white rose:red lavender:purple "
    "pig:pink flamingo:pink bear:brown cloud:white"
)
SOUNDS = _pairs(
    "dog:barks cat:meows cow:moos duck:quacks lion:roars sheep:bleats horse:neighs pig:grunts "
    "snake:hisses owl:hoots bee:buzzes wolf:howls frog:croaks mouse:squeaks rooster:crows "
    "crow:caws"
)
BABIES = _pairs(
    "dog:puppy cat:kitten cow:calf duck:duckling lion:cub sheep:lamb horse:foal pig:piglet "
    "goat:kid bear:cub frog:tadpole swan:cygnet owl:owlet hen:chick goose:gosling deer:fawn"
)
HOMES = _pairs(
    "dog:kennel bird:nest bee:hive horse:stable spider:web pig:sty fish:water bear:cave "
    "rabbit:burrow ant:hill cow:barn camel:desert monkey:jungle whale:ocean king:castle lion:den"
)
KINDS = _pairs(
    "apple:fruit pear:fruit plum:fruit cherry:fruit banana:fruit peach:fruit lemon:fruit "
    "carrot:vegetable potato:vegetable cucumber:vegetable cabbage:vegetable onion:vegetable "
    "dog:animal cat:animal cow:animal horse:animal lion:animal sheep:animal bear:animal "
    "rose:flower tulip:flower daisy:flower lily:flower oak:tree pine:tree birch:tree maple:tree "
    "chair:furniture table:furniture bed:furniture shelf:furniture hammer:tool saw:tool "
    "drill:tool wrench:tool shirt:clothing hat:clothing sock:clothing coat:clothing "
    "red:color blue:color green:color yellow:color piano:instrument violin:instrument "
    "guitar:instrument drum:instrument flute:instrument owl:bird swan:bird crow:bird duck:bird "
    "bee:insect ant:insect fly:insect beetle:insect salmon:fish shark:fish trout:fish "
    "gold:metal iron:metal copper:metal silver:metal car:vehicle bus:vehicle truck:vehicle "
    "train:vehicle"
)
JOBS = _pairs(
    "baker:bread farmer:corn painter:pictures writer:books teacher:lessons cook:meals "
    "tailor:clothes builder:houses singer:songs fisher:fish potter:pots poet:poems "
    "gardener:flowers carpenter:furniture shoemaker:shoes smith:horseshoes"
)
MATERIALS = _pairs(
    "window:glass table:wood coin:metal book:paper shirt:cotton ring:gold tire:rubber cup:clay "
    "wall:stone sweater:wool shoe:leather bottle:plastic candle:wax key:iron bag:cloth fork:steel"
)
ROOMS = _pairs(
    "bed:bedroom stove:kitchen bath:bathroom car:garage sofa:lounge desk:office tools:shed "
    "wine:cellar flowers:garden pillow:bedroom oven:kitchen shower:bathroom"
)
PARTS = _pairs(
    "bird:wings fish:fins tree:branches car:wheels book:pages house:rooms clock:hands "
    "flower:petals hand:fingers foot:toes shirt:sleeves bike:pedals cat:whiskers rabbit:ears "
    "snake:scales sheep:wool"
)
NEEDS = _pairs(
    "cut:knife write:pen dig:shovel sweep:broom paint:brush sew:needle eat:fork sleep:bed "
    "unlock:key measure:ruler row:boat fly:wing drill:drill read:book cook:pan wash:soap"
)
PLURALS = _pairs(
    "dog:dogs cat:cats box:boxes child:children man:men woman:women foot:feet tooth:teeth "
    "mouse:mice goose:geese leaf:leaves knife:knives city:cities baby:babies bus:buses "
    "sheep:sheep fish:fish potato:potatoes hero:heroes wolf:wolves party:parties story:stories "
    "church:churches watch:watches apple:apples house:houses tree:trees car:cars book:books "
    "ox:oxen wife:wives shelf:shelves lady:ladies dish:dishes"
)
PAST = _pairs(
    "go:went eat:ate see:saw take:took give:gave run:ran buy:bought find:found come:came "
    "write:wrote sing:sang swim:swam drink:drank break:broke speak:spoke sleep:slept walk:walked "
    "play:played jump:jumped call:called make:made lose:lost win:won sit:sat stand:stood fly:flew "
    "drive:drove teach:taught catch:caught think:thought"
)
NEXT = _pairs(
    "Monday:Tuesday Tuesday:Wednesday Wednesday:Thursday Thursday:Friday Friday:Saturday "
    "Saturday:Sunday Sunday:Monday January:February February:March March:April April:May "
    "May:June June:July July:August August:September September:October October:November "
    "November:December December:January spring:summer summer:autumn autumn:winter winter:spring "
    "one:two two:three three:four four:five five:six six:seven seven:eight eight:nine nine:ten"
)
PLACES = "park school market beach forest river library station farm museum village castle".split()
SEEN = "dog cat horse bird fox duck rabbit sheep boat train clown king queen bear owl snake".split()
TINTS = "red blue green yellow black white brown gray pink purple".split()
MOODS = "happy sad tired hungry angry calm proud scared brave bored".split()
FOODS = "bread soup rice cheese cake fish corn salad pie honey".split()
