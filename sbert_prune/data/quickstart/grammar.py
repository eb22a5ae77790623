"""English inflection for the words of the lexicon."""

from functools import cache

# lemma: (past, participle), for the first word of a verb ("take" serves "take off")
_IRREGULAR: dict[str, tuple[str, str]] = {
    line.split()[0]: (line.split()[1], line.split()[-1])
    for line in """
        begin began begun|bite bit bitten|break broke broken|build built|buy bought|catch caught|choose chose chosen|cut cut
        dig dug|do did done|draw drew drawn|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed
        fight fought|find found|forget forgot forgotten|get got gotten|give gave given|go went gone|grind ground|grow grew grown
        hang hung|hear heard|hide hid hidden|hit hit|hold held|keep kept|lead led|leave left|lend lent|let let|lose lost
        pay paid|put put|read read|ride rode ridden|ring rang rung|rise rose risen|run ran run|see saw seen|sell sold|send sent
        set set|sew sewed sewn|shoot shot|show showed shown|shut shut|sing sang sung|sink sank sunk|sleep slept|spread spread
        stand stood|steal stole stolen|strike struck|swim swam swum|take took taken|teach taught|tear tore torn
        throw threw thrown|wake woke woken|wear wore worn|weep wept|win won|withdraw withdrew withdrawn|write wrote written
    """.replace("\n", "|").split("|")
    if line.strip()
}
_DOUBLING = frozenset(
    """
    beg begin chop cut dig drop forget get grab grip hit hug hum jog let nap plan put rip run scan set shred shut sob stir stop swap swim
    trim unwrap wrap win
    """.split()  # noqa: SIM905 (a list of words reads better than a list of quoted words)
)
_PLURALS = {
    "child": "children",
    "thief": "thieves",
    "wolf": "wolves",
    "monarch": "monarchs",
    "mouse": "mice",
    "person next door": "people next door",
    "deer": "deer",
}
_SIBILANTS = ("s", "x", "z", "ch", "sh")
# Pronounced with a consonant first ("a uniform") or a vowel first ("an hour"), regardless of the spelling.
_AS_CONSONANT = ("uniform", "use", "one")
_AS_VOWEL = ("hour", "honest", "x-ray")


def article(phrase: str) -> str:
    """Return the indefinite article for a phrase."""
    starts_with_vowel = phrase[0] in "aeiou" and not phrase.startswith(_AS_CONSONANT)
    return "an" if starts_with_vowel or phrase.startswith(_AS_VOWEL) else "a"


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in "aeiou"


def _with_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(_SIBILANTS) or word in {"go", "do", "veto"} else "s")


@cache
def plural(noun: str) -> str:
    """Return the plural of a noun."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    for singular, many in (("person", "people"), ("man", "men")):
        if noun.endswith(singular):
            return noun.removesuffix(singular) + many
    head, space, last = noun.rpartition(" ")
    return head + space + _PLURALS.get(last, _with_s(last))


@cache
def third_person(verb: str) -> str:
    """ "take off" -> "takes off"."""
    head, space, rest = verb.partition(" ")
    return _with_s(head) + space + rest


@cache
def progressive(verb: str) -> str:
    """ "take off" -> "taking off"."""
    head, space, rest = verb.partition(" ")
    if head in _DOUBLING:
        stem = head + head[-1]
    elif head.endswith("e") and not head.endswith(("ee", "ye", "oe")):
        stem = head.removesuffix("ie") + "y" if head.endswith("ie") else head[:-1]
    else:
        stem = head
    return f"{stem}ing{space}{rest}"


def _regular_past(head: str) -> str:
    if head in _DOUBLING:
        return head + head[-1] + "ed"
    if _ends_in_consonant_y(head):
        return head[:-1] + "ied"
    return head + ("d" if head.endswith("e") else "ed")


@cache
def past(verb: str) -> str:
    """ "take off" -> "took off"."""
    head, space, rest = verb.partition(" ")
    return (_IRREGULAR[head][0] if head in _IRREGULAR else _regular_past(head)) + space + rest


@cache
def participle(verb: str) -> str:
    """ "take off" -> "taken off"."""
    head, space, rest = verb.partition(" ")
    return (_IRREGULAR[head][1] if head in _IRREGULAR else _regular_past(head)) + space + rest
