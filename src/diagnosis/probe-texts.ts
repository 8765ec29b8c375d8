import { type Corpus, contentHash } from '../moral/corpus.js';
import { FOUNDATIONS, type Foundation, POLES, type Pole } from '../moral/foundation.js';

type Level = '1' | '.75' | '.5' | '.25';

/** Ten actions of each pole by how strong most would judge them: m. Short, because every token costs a pass of the model in fp32. */
const JUDGED: Readonly<Record<Pole, Readonly<Record<Level, readonly string[]>>>> = {
  care: {
    1: ['pulling a drowning child ashore', 'carrying a wounded man to safety'],
    '.75': ['comforting a crying child', 'nursing a dying uncle', 'feeding a starving dog'],
    '.5': ['bringing soup to a neighbour', 'bandaging a scraped knee'],
    '.25': ['holding the door for someone', "watering a friend's plants", 'lending a coat in the rain'],
  },
  harm: {
    1: ['torturing a prisoner for fun', 'poisoning the village well'],
    '.75': ['kicking a stray dog', 'beating a younger brother', 'pushing a girl down the stairs'],
    '.5': ['mocking a grieving widow', 'tripping a classmate'],
    '.25': ['teasing a shy colleague', 'snapping at a slow cashier', 'forgetting to feed the cat'],
  },
  fairness: {
    1: ['confessing to free an innocent man', 'giving every accused a fair trial'],
    '.75': ['returning a lost wallet of cash', 'paying men and women alike', 'splitting the prize equally'],
    '.5': ['giving everyone the same test', 'paying back the whole loan'],
    '.25': ['taking turns on the swing', 'weighing the apples exactly', 'sharing the last biscuit'],
  },
  cheating: {
    1: ["stealing a widow's savings", 'bribing a judge to jail a rival'],
    '.75': ['rigging the village election', 'selling a car without brakes', "forging a doctor's diploma"],
    '.5': ['copying the exam answers', 'travelling on a forged ticket'],
    '.25': ["peeking at a rival's cards", 'jumping the queue', 'padding a travel claim'],
  },
  loyalty: {
    1: ['dying for a comrade in battle', 'refusing to name friends under torture'],
    '.75': ['hiding a hunted friend', 'standing by a slandered friend', 'staying with the sinking crew'],
    '.5': ['defending a teammate from insults', 'keeping a promise to a brother'],
    '.25': ['cheering for the home team', 'wearing the scarf of the club', 'writing to old classmates'],
  },
  betrayal: {
    1: ['selling comrades to the enemy', 'handing a brother to his killers'],
    '.75': ["sleeping with a friend's wife", 'leaving a wife who fell ill', "selling a friend's secrets"],
    '.5': ['quitting the team before the final', 'gossiping about a best friend'],
    '.25': ["forgetting a cousin's wedding", 'cheering for the rival team', "ignoring a friend's call"],
  },
  authority: {
    1: ['defending the law against a mob', 'obeying the order to save the city'],
    '.75': ['following the fire warden out', 'obeying the surgeon at once', 'testifying when the court calls'],
    '.5': ['obeying the laboratory rules', 'showing respect to an old teacher'],
    '.25': ['rising when the judge enters', 'calling the boss by his title', 'raising a hand in class'],
  },
  subversion: {
    1: ['murdering the captain in a mutiny', 'bombing the parliament'],
    '.75': ['spitting at a police officer', 'setting the courthouse on fire', 'defying the captain in a storm'],
    '.5': ['shouting down the judge', 'slapping an old teacher'],
    '.25': ['talking back to a teacher', 'parking where it is forbidden', 'skipping a staff meeting'],
  },
  sanctity: {
    1: ['giving up all vice for God', 'guarding the holy shrine for life'],
    '.75': ["praying at a mother's grave", 'burying the dead with reverence', 'keeping a vow of chastity'],
    '.5': ['washing before the temple', 'fasting on the holy day'],
    '.25': ['keeping quiet in a chapel', 'lighting a candle for the dead', 'refusing a dirty joke'],
  },
  degradation: {
    1: ['digging up a corpse for sport', 'boiling a corpse for a prank'],
    '.75': ['urinating on a grave', 'selling used needles as new', 'smearing dung on an altar'],
    '.5': ['eating a pet for a bet', 'vomiting into the font'],
    '.25': ['swearing in a chapel', 'wearing the same socks for weeks', 'spitting on the pavement'],
  },
};

/** Of the same topics and morally indifferent: m is 0. */
const NEUTRAL: Readonly<Record<Foundation, readonly string[]>> = {
  'care-harm': [
    'buying a new bandage',
    'reading about first aid',
    'waiting at the clinic',
    'walking the dog at noon',
    'ironing a nurse uniform',
    'passing the kindergarten',
  ],
  'fairness-cheating': [
    'counting the coins twice',
    'shuffling a deck of cards',
    'sharpening a pencil for the exam',
    'standing in a queue',
    'reading the rules of chess',
    'printing a train ticket',
  ],
  'loyalty-betrayal': [
    'calling a cousin on Sunday',
    'moving to another town',
    'buying a team scarf',
    'meeting a friend at noon',
    'joining a choir',
    'taking the family photo',
  ],
  'authority-subversion': [
    'reading the office notice',
    'passing the town hall',
    'signing a form in blue',
    'waiting for the teacher',
    'buying a police calendar',
    'sitting in the third row',
  ],
  'sanctity-degradation': [
    'walking past a church',
    'parking beside a chapel',
    'buying white candles',
    'taking a cold shower',
    'drying the dishes',
    'reading about old tombs',
  ],
};

/**
 * The actions on which a reduced precision is held against fp32, ten of each pole and six neutrals of each foundation, authored with their
 * judgments. Changing one changes every such report.
 */
export const PROBE: Corpus = probeCorpus();

function probeCorpus(): Corpus {
  const judged = FOUNDATIONS.flatMap((name, foundation) => [
    ...[POLES[2 * foundation], POLES[2 * foundation + 1]].flatMap((pole, vice) =>
      Object.entries(JUDGED[pole]).flatMap(([level, actions]) =>
        actions.map((action) => ({ action, foundation, signed: vice ? -Number(level) : Number(level) })),
      ),
    ),
    ...NEUTRAL[name].map((action) => ({ action, foundation, signed: 0 })),
  ]);
  const texts = judged.map(({ action }) => action);
  const rows = {
    length: judged.length,
    text: Int32Array.from(judged.keys()),
    annotation: Int32Array.from(judged.keys()),
    foundation: Uint8Array.from(judged, ({ foundation }) => foundation),
    signed: Float32Array.from(judged, ({ signed }) => signed),
  };
  return { name: 'probe texts', authored: true, sha256: contentHash(texts, rows), texts, rows };
}
