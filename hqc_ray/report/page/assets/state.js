// What is shown: the rows, the filters, the choices of the charts, and the address that keeps them.
const DATA = JSON.parse(document.getElementById('data').textContent);
const TEXTS = DATA.texts, NUMBERS = DATA.numbers, SIZE = DATA.control.length;
for (const [name, values] of Object.entries(NUMBERS)) if (values.length === 1) NUMBERS[name] = Array(SIZE).fill(values[0]);
const title = name => DATA.titles[name] ?? name;
const text = (name, i) => TEXTS[name].values[TEXTS[name].codes[i]];
const several = name => TEXTS[name].values.length > 1;

const filters = new Map(); // column -> the texts that may stand there; `flag`: any of a row's flags
const CHART = 'chart.'; // before a choice in the address: columns have such names too
const choices = { by: 'head', panels: '', space: '', epsilon: '', device: '', cost: 'seconds', measure: 'loss', matrix: '0' };

/** How many rows have each value of a column. */
function counts(name) {
  const found = new Map();
  if (name === 'flag') for (const flags of DATA.flags) for (const flag of flags) found.set(flag, (found.get(flag) ?? 0) + 1);
  else {
    for (const value of TEXTS[name].values) found.set(value, 0);
    for (const code of TEXTS[name].codes) { const value = TEXTS[name].values[code]; found.set(value, found.get(value) + 1); }
  }
  return found;
}

/** Which rows the filters let through: one byte each. */
function mask() {
  const let_through = new Uint8Array(SIZE).fill(1);
  for (const [name, wanted] of filters) {
    if (name === 'flag') DATA.flags.forEach((flags, i) => { if (!flags.some(flag => wanted.has(flag))) let_through[i] = 0; });
    else {
      const { values, codes } = TEXTS[name], good = values.map(value => wanted.has(value));
      for (let i = 0; i < SIZE; i++) if (!good[codes[i]]) let_through[i] = 0;
    }
  }
  return let_through;
}

/** Take a value into a filter or out of it; the first one leaves it alone, and all of them are none. */
function toggle(name, value) {
  const wanted = filters.get(name) ?? new Set();
  if (!wanted.delete(value)) wanted.add(value);
  if (wanted.size && wanted.size < counts(name).size) filters.set(name, wanted);
  else filters.delete(name);
}

/** The 95 % Wilson interval of k right ones of n, in percent. */
function wilson(k, n) {
  const z = 1.959963984540054, p = k / n, below = 1 + z * z / n;
  const middle = (p + z * z / (2 * n)) / below, half = z * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / below;
  return [100 * Math.max(0, middle - half), 100 * Math.min(1, middle + half)];
}

/** Spaces that were attacked, and the epsilons of one. */
const spaces = TEXTS.space.values.filter(value => value !== '–');
function epsilons(space) {
  const found = new Map();
  for (let i = 0; i < SIZE; i++) if (text('space', i) === space && NUMBERS.strength[i] > 0) found.set(text('epsilon', i), NUMBERS.strength[i]);
  return [...found].sort((a, b) => a[1] - b[1]);
}

/** The epsilon at which the attacked rows differ most: there a map of them tells something. */
function telling(space) {
  const sums = new Map();
  for (let i = 0; i < SIZE; i++) {
    const value = NUMBERS.worst[i];
    if (text('space', i) !== space || value === null || DATA.control[i]) continue;
    const of = sums.get(text('epsilon', i)) ?? { n: 0, sum: 0, squares: 0 };
    of.n++; of.sum += value; of.squares += value * value;
    sums.set(text('epsilon', i), of);
  }
  const spread = of => of ? of.squares / of.n - (of.sum / of.n) ** 2 : -1;
  return epsilons(space).map(([name]) => name).sort((a, b) => spread(sums.get(b)) - spread(sums.get(a)))[0] ?? '';
}

function defaults() {
  const space = spaces[0] ?? '';
  const places = ['model', 'images'].filter(several);
  return { by: several('head') ? 'head' : 'attack', panels: places.length ? 'place' : '', space, epsilon: telling(space),
    device: TEXTS.device.values.find((_, code) => circuits.has(code)) ?? '', cost: 'seconds', measure: 'loss', matrix: '0' };
}

/** The address: `#?head=vqc1&head=vqc2&chart.by=attack&search=...`, filters by column and choices of the charts; links to sections are `#name`. */
function read(query) {
  filters.clear();
  Object.assign(choices, defaults());
  const given = new URLSearchParams(query);
  for (const [name, value] of given) {
    if (name === 'flag' || name in TEXTS) filters.set(name, (filters.get(name) ?? new Set()).add(value));
    else if (name.startsWith(CHART) && name.slice(CHART.length) in choices) choices[name.slice(CHART.length)] = value;
  }
  for (const [name, wanted] of filters) {
    const known = counts(name);
    for (const value of wanted) if (!known.has(value)) wanted.delete(value);
    if (!wanted.size) filters.delete(name);
  }
  if (!spaces.includes(choices.space)) choices.space = spaces[0] ?? '';
  if (!epsilons(choices.space).some(([name]) => name === choices.epsilon)) choices.epsilon = telling(choices.space);
  return given.get('search') ?? '';
}

function address(search) {
  const told = new URLSearchParams(), usual = defaults();
  for (const [name, wanted] of filters) for (const value of wanted) told.append(name, value);
  for (const [name, value] of Object.entries(choices)) if (value !== usual[name]) told.set(CHART + name, value);
  if (search) told.set('search', search);
  return told.toString();
}
