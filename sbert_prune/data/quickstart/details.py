"""The words for details: further people, traits, manners and times, in the notation of topics_indoors.py."""

PEOPLE = """
    man=guy=fellow <> woman=lady, boy=lad <> girl=schoolgirl, child=kid=youngster <> adult=grown-up, teenager=adolescent,
    villager=local resident, stranger=outsider, husband=spouse, friend=companion
"""
"""People who may take part in any topic that has people."""

TRAITS = {
    "person": """
        young=youthful <> old=elderly=aged, tall <> short, happy=cheerful=joyful <> sad=unhappy=gloomy,
        tired=weary=exhausted <> energetic=lively, rich=wealthy <> poor, brave=courageous=fearless <> timid=cowardly,
        calm=relaxed <> nervous=anxious, angry=furious=mad <> gentle=kind, strong=muscular=powerful <> weak=frail,
        clever=smart=intelligent <> foolish=silly=stupid, thin=slim=slender <> fat=overweight,
        famous=well-known=celebrated <> unknown, rude=impolite <> polite, busy=occupied <> idle=lazy, blind,
        barefoot, curious=inquisitive, lonely=solitary, experienced=skilled=expert <> inexperienced=untrained
    """,
    "animal": """
        young=juvenile <> old=aged, big=large=huge <> small=little=tiny, hungry=starving <> well-fed, wild <> tame, brown, white,
        black, fast=quick=swift <> slow, spotted, dangerous=deadly <> harmless, sick=ill=unwell <> healthy=fit,
        fat=plump <> skinny=thin, wet=soaked <> dry
    """,
    "solid": """
        big=large=huge <> small=little=tiny, old=ancient <> new=brand-new, clean=spotless <> dirty=filthy=grimy,
        expensive=costly <> cheap=inexpensive, heavy <> light=lightweight, beautiful=lovely=gorgeous <> ugly=hideous,
        broken=damaged <> intact=undamaged, red=scarlet, blue, green=emerald, yellow=golden, white, black, wooden,
        strange=odd=peculiar <> ordinary=common, valuable=precious <> worthless=useless
    """,
    "food": """
        delicious=tasty=yummy <> disgusting=awful, fresh <> rotten=spoiled, hot <> cold=chilled, big=large <> small=little,
        sweet=sugary <> bitter, raw=uncooked
    """,
    "text": """
        long=lengthy <> short=brief, interesting=fascinating <> boring=dull=tedious, famous=well-known <> unknown,
        difficult=hard=tough <> easy=simple, important=significant <> unimportant=trivial, new=recent <> old,
        funny=amusing=humorous <> serious=solemn, secret=hidden <> public
    """,
    "plant": """
        tall=high <> short=low, old=ancient <> young, dead=withered <> healthy=thriving, beautiful=lovely <> ugly,
        rare=uncommon <> common, green, wild
    """,
    "part": """
        left <> right, swollen=puffy, sore=aching=painful, broken <> healthy, bleeding
    """,
}
"""Adjectives for each kind of thing."""

MANNERS = """
    slowly=gradually <> quickly=rapidly=swiftly, carefully=cautiously <> carelessly=recklessly, quietly=silently <> loudly=noisily,
    happily=cheerfully=gladly <> sadly=unhappily, patiently <> impatiently, secretly <> openly=publicly,
    eagerly=enthusiastically <> reluctantly=unwillingly, calmly=peacefully <> nervously=anxiously, gently=softly <> roughly=violently,
    skillfully=expertly <> clumsily=awkwardly, proudly, angrily=furiously,
    accidentally=unintentionally <> deliberately=intentionally=on purpose
"""

TIMES = """
    in the morning=before noon <> in the evening=late in the day, at night=after dark <> during the day=in the daytime,
    at noon=at midday <> at midnight, at dawn=at sunrise=at daybreak <> at dusk=at sunset=at nightfall,
    in winter=in the cold season <> in summer=in the hot season, before breakfast <> after dinner=after supper, on Sunday, on Monday,
    in the rain=on a rainy day <> in the sunshine=on a sunny day, in spring=in springtime <> in autumn=in the fall,
    during a storm=in stormy weather, during the war=in wartime <> in peacetime, on the weekend, during the holidays=on vacation
"""

NUMBERS = "two=a couple of, three, several=some=a few, many=lots of=a lot of"
