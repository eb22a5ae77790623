"""English words by what they do in a sentence."""

from __future__ import annotations

from sbert_prune.evaluation.perturbations.words import word_set

BE = word_set("am is are was were")
MODALS = word_set("can could will would shall should may might must")
DO = word_set("do does did")
HAVE = {"has": "does", "have": "do", "had": "did"}
"""Each with the auxiliary that it takes when it is the verb itself."""

ASK = word_set("what why how who whom whose which where")
"""With these at its start a sentence is no statement."""

ARTICLES = word_set("a an the his her their its my your our")
PREPOSITIONS = word_set(
    "in on at to of by for from with into onto over under through across near along around behind beside down up off out about past as "
    "after before between while and or against outside inside next"
)
NO_NOUNS = ARTICLES | PREPOSITIONS | word_set("this that these those some two three four five one each every")
"""What stands before or behind a noun, and is none."""

OF_MANY = word_set("few couple lot")
"""A plural follows these, though "a" stands before them."""

NO_PARTICIPLES = word_set(
    "building morning evening clothing ceiling wedding meeting painting drawing railing during string spring ruling hearing testing "
    "shooting carpeting something anything everything including excluding according regarding following concerning"
)
"""In -ing, and yet not what somebody is doing."""

PARTICIPLES = word_set(
    "beaten become been begun blown bought bound bent broken brought built burst caught chosen come cost cut dealt done drawn driven eaten "
    "fallen felt fled flown forgotten fought found frozen given gone got gotten grown heard held hidden hit hung hurt kept known laid led "
    "left lent lost made meant met paid proven put quit read ridden risen run said seen sent set shaken shot shown shut slept sold sought "
    "spent split spoken stolen stood struck stuck sung sunk swept sworn taken taught thought thrown told torn understood withdrawn woken "
    "won worn wound written"
)
"""The irregular ones."""

ADVERBS = word_set("also already always ever even just long now never often only once recently since still then")
"""What may stand between an auxiliary and its participle."""

SMALL_AT_THE_START = NO_NOUNS | word_set("yes he she it they we you there many several most all both people men women if when another")
"""What no name begins with, so that it is written small inside a sentence."""
