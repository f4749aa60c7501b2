"""The words and patterns of the caption reader (reader.py). A result depends on every one of them.

Word lists are separated by spaces; an entry may be a regular expression without spaces.
"""

from __future__ import annotations

import re

from serdesc.captions.fields import ENERGY, PITCH, SPEED

# ---- pitch, energy and speed ---------------------------------------------------------------------

# axis -> its values, from the lowest to the highest
SCALES = {"pitch": PITCH, "energy": ENERGY, "speed": SPEED}
# axis -> the nouns that name it
NOUNS = {
    "pitch": "pitch pitched pitches tone register",
    "energy": "energy volume loudness intensity vitality vigor vigour spoken",
    "speed": "pace paced speed rate tempo clip",
}
_LOW = "low lower lowish little reduced diminished"
_MIDDLE = (
    "normal medium moderate average mid middle regular ordinary standard typical usual"
    " unremarkable"
)
_HIGH = "high higher elevated great strong heightened increased"
# axis -> words of each value that count only with a noun of the axis
DEGREES = {
    "pitch": (
        f"{_LOW} deep lowered",
        f"{_MIDDLE} natural neutral",
        f"{_HIGH} raised sharp shrill",
    ),
    "energy": (
        f"{_LOW} soft quiet weak faint hushed gentle",
        f"{_MIDDLE} natural",
        f"{_HIGH} loud powerful",
    ),
    "speed": (
        f"{_LOW} slow slower unhurried leisurely sluggish deliberate",
        f"{_MIDDLE} natural steady even conversational",
        f"{_HIGH} fast faster quick rapid brisk swift hurried breakneck speedy hasty",
    ),
}
# These nouns have other meanings too: noun -> the only degrees that count with it
AMBIGUOUS_NOUNS = {
    "tone": "high low medium",
    "register": "high low medium deep",
    "spoken": "soft quiet loud",
}
# axis -> words of each value that count without a noun
STANDALONE = {
    "pitch": ("deep baritone bass", "", "shrill soprano"),
    "energy": (
        r"soft softly quiet quietly hushed faint faintly weak weakly gently whisper\w* murmur\w*"
        r" mumbl\w*",
        "",
        r"loud loudly booming energetic energetically shout\w* yell\w* scream\w* vigorously",
    ),
    "speed": (
        "slow slowly slower unhurried unhurriedly leisurely sluggish sluggishly",
        "",
        "fast faster quick quickly rapid rapidly brisk briskly swift swiftly hurried hurriedly"
        " hurries hasty hastily speedy rattles",
    ),
}
# field -> (pattern, value) of idioms
IDIOMS = {
    "energy": ((r"rais(?:es|ing|ed) (?:his|her|their|its) voice|cries out", "high"),),
    "speed": (
        (r"(?:takes|taking) (?:his|her|their) time", "slow"),
        (r"in a hurry", "fast"),
        (r"evenly paced", "normal"),
    ),
    "pitch": (
        (
            r"high(?=(?:,? (?:and )?\w+)? voice)|voice is high"
            r"|pitch (?:\w+ ){0,2}above (?:average|normal)",
            "high",
        ),
        (
            r"low(?=(?:,? (?:and )?\w+)? voice)|voice is low"
            r"|pitch (?:\w+ ){0,2}below (?:average|normal)",
            "low",
        ),
    ),
    "emotion": (
        (
            r"(?:no|without|lack\w*|devoid of)"
            r"(?: of| any| particular| strong| clear| noticeable| real)* (?:emotion|feeling)s?",
            "neutral",
        ),
        (r"matter-of-fact(?:ly)?|emotionless(?:ly)?|unemotional(?:ly)?", "neutral"),
        (r"close to tears|in tears", "sad"),
    ),
}
# `pitch: high`, also **Pitch:** high and "speaking rate" = very fast
LABELLED = re.compile(
    rf"\b(?P<noun>{'|'.join(' '.join(NOUNS.values()).split())})(?: level)?[*_`\" ]*[:=][*_`\" ]*"
    r"(?:(?:very|rather|quite|fairly|slightly|somewhat|relatively|a|the|is) )*(?P<value>[a-z]+)\b"
)
# A line that begins another item or another `name: value`; it ends the clause before it.
NEW_ITEM = r"\n(?=\s*(?:[-*•]|\d+[.)]|[*_`]*[a-z][a-z ]{0,24}[*_`]*[:=])|\s*\n)"
# Words allowed between a noun and the degree after it ("pitch and energy are both very high")
LINKS = set(
    "is are was were be being stays stay remains remain sounds seems both all very quite rather"
    " fairly slightly of a an the her his their voice speech speaker woman man lady during"
    " communication well as too = : rising drawn at also speaking".split()
)
ARTICLES = set("a an the his her their its".split())
# Words allowed between a degree and the noun after it ("a low and even pitch")
BETWEEN = set("in of speaking speech talking and even steady a an very with voice is level".split())

# ---- emotion, age and gender ---------------------------------------------------------------------

EMOTION_WORDS = {
    "angry": "angry anger angrily furious furiously fury irate irritated rage raging enraged mad"
    " wrath",
    "calm": "calm calmly calmness composed serene serenity",
    "disgusted": "disgust disgusted disgustedly revolted revulsion",
    "excited": "excited excitedly excitement enthusiastic enthusiastically enthusiasm thrilled",
    "fearful": "fearful fear fearfully afraid scared frightened terrified terror panicked panic"
    " anxious anxiously",
    "frustrated": "frustrated frustratedly frustration",
    "happy": "happy happily happiness joy joyful joyfully cheerful cheerfully cheer delighted"
    " delight glad pleased",
    "neutral": "neutral neutrally neutrality",
    "sad": r"sad sadly sadness sorrow sorrowful\w* unhappy unhappily melanchol\w+ depressed gloomy"
    r" grief mourn\w+ sombre somber disconsolate downcast plaintive plaintively",
    "surprised": "surprised surprisedly surprise surprising astonished astonishment amazed"
    " amazement shock shocked",
}
# These count only if no word of EMOTION_WORDS is read.
WEAK_EMOTION_WORDS = {
    "bored": "bored boredly boredom",
    "neutral": "natural naturally naturalness",
}
_PEOPLE = "woman|man|lady|gentleman|guy|male|female|adult|person|speaker|voice|presenter"
# value, pattern; the order decides between two values at one position
AGE_PATTERNS = (
    ("teenager", r"teen|teens|teenage|teenaged|teenagers?|adolescent"),
    ("child", r"(?:(?:young|little|small) )?(?:child|kid|girl|boy|toddler)|child's"),
    ("middle-aged", r"middle-aged|middle aged|in (?:his|her|their) (?:forties|fifties)"),
    (
        "elderly",
        rf"elderly|senior|(?:old|older|aged) (?:{_PEOPLE})"
        r"|in (?:his|her|their) (?:sixties|seventies|eighties|nineties)",
    ),
    (
        "young adult",
        rf"youth|youthful|young (?:(?:female|male) )?(?:{_PEOPLE})"
        r"|in (?:his|her|their) (?:twenties|thirties)",
    ),
)
# "35-year-old", "age: 35": an age in years
YEARS = re.compile(
    r"\b(?:(?P<old>\d{1,3})[- ]years?[- ]old|aged?[*_` ]*[:=]?[*_` ]*(?P<aged>\d{1,3})\b(?![-–\d]))"
)
GENDER_PATTERNS = (
    ("female", r"wom[ae]n|female|females|lady|ladies|girls?|gender: f"),
    ("male", r"m[ae]n|males?|gentlem[ae]n|guys?|boys?"),
)
PRONOUN_PATTERNS = (("female", "she|her|hers|herself"), ("male", "he|him|his|himself"))
# "he or she" states no gender
EITHER_PRONOUN = re.compile(r"\b(?:he|she|his|her|him|hers)(?: or |/)(?:he|she|his|her|him|hers)\b")

# ---- candidates ----------------------------------------------------------------------------------

# A list of what could have been answered, to its end
OPTIONS = re.compile(
    r"\b(?:options|choices|candidates|labels|possible emotions)\b[*_` ]*[:=][^.;\n]*"
)
# A number after an emotion: its probability or score
SCORE = re.compile(r"[*_`\"']*\s*[(:=-]*\s*(\d+(?:\.\d+)?)\s*(?:%|percent\b|/|[,;)\]}\n.]|$)")

# ---- the assistant -------------------------------------------------------------------------------

# What an assistant says of itself, to the end of the sentence: no description of the speaker.
OF_ITSELF = re.compile(
    r"\b(?:(?:i'm|i am) (?:sorry|afraid|unable|not able|(?:happy|glad|pleased|delighted) to)"
    r"|as an? (?:\w+ )?(?:ai|assistant|language model)"
    r"|i (?:cannot|can't|can not|do not|don't|have no))\b[^.!?\n]*"
)

# ---- thoughts ------------------------------------------------------------------------------------

THOUGHTS = re.compile(
    r"^(?:(?!<think).)*?</think(?:ing)?>|<think(?:ing)?>.*?(?:</think(?:ing)?>|$)", re.I | re.S
)

# ---- negation ------------------------------------------------------------------------------------

# Text that ends in a negation: it negates the words that follow.
NEGATION = re.compile(
    r"(?:\b(?:not|no|never|nothing|neither|nor|without|hardly|cannot|lacks?|lacking)\b|n't\b)"
    r"(?:(?!\bbut\b)[^,;:.!?]){0,60}$"
    r"|\b(?:rather than|instead of|far from|less)(?: \w+){0,2} $"
)
# "neither loud nor quiet": the middle value
NEITHER = re.compile(
    r"\b(?:neither (\w+) nor|not (\w+) and not|not too (\w+) (?:and|or) not too) (\w+)"
    r"(?: in (\w+))?"
)

# ---- quotations ----------------------------------------------------------------------------------

# Opening mark -> the marks that close it, in order of preference; of several the first
QUOTATION_MARKS = {
    '"': ('"', "”"),
    "“": ("”", '"', "“"),
    "„": ("“”", '"'),
    "«": ("»",),
    "»": ("«",),
    "「": ("」",),
    "『": ("』",),
    "'": ("'’",),
    "‘": ("’'",),
}
OPENING = re.compile(r"[\"“„«»「『]|(?<!\w)['‘](?=[^\s'‘’])")
# Apostrophes within words close nothing.
SINGLE_QUOTED = re.compile(r"['‘](?P<text>[^\s'‘’](?:[^'’]|['’](?=\w))*)['’](?!\w)")
FINAL = (".", "!", "?", "…", "。", "！", "？")
# Text before, or after, a quotation of stressed words
STRESS_BEFORE = re.compile(
    r"(?:\b(?:emphas|stress|accent|highlight|underlin)\w*"
    r"|\b(?:weight|attention|prominence|focus)\b)[^.;]{0,40}$"
    r"|(?<!speaking )(?<!saying )(?<!uttering )\bthe words?\s*$"
)
STRESS_AFTER = re.compile(
    r"^[\s,]*(?:(?:is|are|was|were|being|gets?|clearly|heavily|strongly)\s+)*"
    r"(?:stressed|emphasi[sz]ed|accented|highlighted|underlined)\b"
    r"|^\s*(?:(?:with|under|receiving|by)\s+)(?:\w+\s+){0,2}"
    r"(?:stress|emphasis|accent|stressing)\b(?! (?:on|falls|the)\b)"
)
# Text before a quotation of speech
SPEECH_BEFORE = re.compile(
    r"\b(?:says?|said|saying|stat(?:es?|ing)|asks?|announc\w+|repeats?)\b[^.;]{0,20}$"
)
# Text between two quotations of one utterance: "Yes," she said, "I am fine."
SPEECH_BETWEEN = re.compile(
    r"[\s,;.]*(?:(?:and|then),?\s+)*(?:(?:\w+ ){0,3}"
    r"(?:says?|said|asks?|asked|add(?:s|ed|ing)|repl(?:y|ies|ied)|continu(?:es?|ed|ing)"
    r"|shout(?:s|ed)?|whisper(?:s|ed)?|cr(?:ies|ied)|repeat(?:s|ed|ing)?)(?: \w+){0,4})?[\s,;.:]*"
)
_FIELDS = "emotions?|feelings?|mood|pitch|energy|volume|speed|pace|rate|gender|sex|age|tone"
# Text before a quoted value of a field: `Emotion: "sad"`, the emotion is "sad", the emotion "sad"
VALUE_BEFORE = re.compile(
    rf"(?:^|[\n,;{{(-])[\s*_`\"']*(?:{_FIELDS})[\s*_`\"']*[:=][\s*_`]*$"
    r"|\b(?:emotion|feeling|mood)\b(?: \w+){0,3}\s*$"
)
VALUE = re.compile(
    "|".join(
        [
            *" ".join(EMOTION_WORDS.values()).split(),
            r"(?:very )?(?:low|high|normal|medium)",
            r"slow|fast|moderate",
            r"(?:fe)?male|wom[ae]n|m[ae]n|girl|boy",
            r"(?:young )?adult|child",
            r"teenager|middle-aged|elderly",
            r"\d+(?:-\d+)?",
        ]
    )
)
# `Transcript: hello there`, up to the end of the line or the next `name: value`
TRANSCRIPT = re.compile(
    r"(?:\b(?:transcript(?:ion)?|spoken (?:text|words))|^[\s*_`-]*(?:text|speech))"
    rf"[\s*_`]*[:=][\s*_`]*(?P<text>[^\n;]+?)(?=[*_`\s]*(?:[,.;]\s+[*_`]*(?:{_FIELDS})"
    r"[*_`]*\s*[:=]|[\n;]|$))",
    re.IGNORECASE | re.MULTILINE,
)
# "not a man but a woman": what it is not; and "not only", which is no negation
NOT_BUT = re.compile(r"\bnot (?:only|just|merely|simply)\b|\bnot (?:an? |the )?\w+(?: \w+)? but\b")

# ---- other languages -----------------------------------------------------------------------------

# Frequent words of other languages that are no English words
OTHER_LANGUAGES = set(
    "der das und ist mit einer eine einem einen ein spricht stimme frau mann nicht er"  # German
    " une et est avec femme homme parle voix elle dans les des du pas"  # French
    " el los las una con habla mujer hombre voz es muy su por que"  # Spanish
    " il di che uomo donna voce parla molto della"  # Italian
    " um uma com fala mulher homem muito ela ele"  # Portuguese
    " een het van vrouw spreekt stem zijn".split()  # Dutch
)
ENGLISH = set(
    "a an the is are was with and in of his her he she they to that this it has says said speaks"
    " speaking voice speaker man woman".split()
)
