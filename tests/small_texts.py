"""Sentences of five languages, for data sets in small: who does what where, from a few words of each language."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """Words in this order: who, where, deed; `today` may come first. Every deed excludes the others."""

    who: tuple[str, ...]
    where: tuple[str, ...]
    deed: tuple[str, ...]
    today: str
    deed_comes_last: bool = True

    def sentence(self, who: int, where: int | None, deed: int) -> str:
        """The sentence with these words, counted around; without a place where it is None."""
        place = () if where is None else (self.where[where % len(self.where)],)
        act = (self.deed[deed % len(self.deed)],)
        return " ".join((self.who[who % len(self.who)], *((*place, *act) if self.deed_comes_last else (*act, *place))))


LANGUAGES = {
    "mr": Language(
        ("एक मुलगा", "माझा भाऊ", "एक माणूस", "तो", "माझा मित्र", "एक तरुण"),
        ("बागेत", "घरात", "शाळेत", "रस्त्यावर", "नदीजवळ"),
        ("गात आहे", "धावत आहे", "झोपला आहे", "जेवत आहे", "वाचत आहे", "लिहीत आहे"),
        "आज",
    ),
    "hi": Language(
        ("एक लड़का", "मेरा भाई", "एक आदमी", "वह", "मेरा दोस्त", "एक युवक"),
        ("बगीचे में", "घर में", "स्कूल में", "सड़क पर", "नदी के पास"),
        ("गा रहा है", "दौड़ रहा है", "सो रहा है", "खा रहा है", "पढ़ रहा है", "लिख रहा है"),
        "आज",
    ),
    "ta": Language(
        ("ஒரு சிறுவன்", "என் தம்பி", "ஒரு மனிதன்", "அவன்", "என் நண்பன்", "ஒரு இளைஞன்"),
        ("தோட்டத்தில்", "வீட்டில்", "பள்ளியில்", "தெருவில்", "ஆற்றங்கரையில்"),
        ("பாடுகிறான்", "ஓடுகிறான்", "தூங்குகிறான்", "சாப்பிடுகிறான்", "படிக்கிறான்", "எழுதுகிறான்"),
        "இன்று",
    ),
    "te": Language(
        ("ఒక అబ్బాయి", "నా తమ్ముడు", "ఒక మనిషి", "అతను", "నా స్నేహితుడు", "ఒక యువకుడు"),
        ("తోటలో", "ఇంట్లో", "బడిలో", "వీధిలో", "నది దగ్గర"),
        ("పాడుతున్నాడు", "పరుగెత్తుతున్నాడు", "నిద్రపోతున్నాడు", "తింటున్నాడు", "చదువుతున్నాడు", "రాస్తున్నాడు"),
        "ఈరోజు",
    ),
    "en": Language(
        ("A boy", "My brother", "A man", "He", "My friend", "A young man"),
        ("in the garden", "in the house", "at school", "in the street", "by the river"),
        ("is singing", "is running", "is sleeping", "is eating", "is reading", "is writing"),
        "Today",
        deed_comes_last=False,
    ),
}

LABELS = ("entailment", "neutral", "contradiction")

_PLACES = {"nli": (0, 1), "train": (2,), "dev": (3,), "test": (4,)}
"""No two of these share a sentence."""


def nli_rows(language: str) -> Iterator[tuple[str, str, int]]:
    """Premise, hypothesis and the place of the label in LABELS: 216 rows, one of each label a premise."""
    words = LANGUAGES[language]
    for where in _PLACES["nli"]:
        for who in range(len(words.who)):
            for deed in range(len(words.deed)):
                premise = words.sentence(who, where, deed)
                yield premise, words.sentence(who, None, deed), 0
                yield premise, words.sentence(who + 1, where, deed), 1
                yield premise, words.sentence(who, where, deed + 1), 2


def sts_pairs(language: str, *splits: str) -> Iterator[tuple[str, str, float]]:
    """Two sentences and their score, 0 to 5, by what they say alike: 108 pairs a split."""
    words = LANGUAGES[language]
    for where in (place for split in splits for place in _PLACES[split]):
        for deed in range(len(words.deed)):
            for who in range(len(words.who)):
                sentence = words.sentence(who, where, deed)
                yield sentence, f"{words.today} {sentence}", 5.0
                yield sentence, words.sentence(who + 1, where, deed), 3.2
                yield sentence, f"{words.today} {words.sentence(who + 2, where, deed + 3)}", 0.0


def words_of_all() -> list[str]:
    """Every word of every language once."""
    texts = (part for words in LANGUAGES.values() for part in (*words.who, *words.where, *words.deed, words.today))
    return sorted({word for text in texts for word in text.split()})
