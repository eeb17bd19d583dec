// The charts: each takes the rows that are shown, and gives a Vega-Lite specification, its values, and a sentence for who cannot see it.
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia('(prefers-color-scheme: dark)');
const LIGHTER = { '#1A1A1A': '#EDEDED', '#3C3C3C': '#D9D9D9', '#5A5A5A': '#B9B9B9', '#8A8A8A': '#9C9C9C', '#ABABAB': '#CFCFCF',
  '#0072B2': '#4FA8E0', '#D55E00': '#F0803C' };
const PALETTE = ['#0072B2', '#D55E00', '#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#5A5A5A', '#E3D21B'];
const LINES = 48; // of a map
const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'triangle-down', 'cross', 'triangle-right'];
const RIGHT = { field: 'mean', type: 'quantitative', title: 'right, %', scale: { domain: [0, 100] } };

function style(name, value, at) {
  const told = DATA.styles[name]?.[value];
  const found = told ?? { colour: PALETTE[at % 8], shape: SHAPES[(at + Math.floor(at / 8)) % 7], dash: [1, 0] };
  return { ...found, colour: dark.matches ? LIGHTER[found.colour] ?? found.colour : found.colour };
}

const narrow = () => innerWidth < 620;
const LEGEND = 220; // at most, beside a chart
const widest = names => 6 * Math.max(...names.map(name => name.length)); // about as many pixels

/** Colour, shape and dashes of a dimension: of all its values, so that no colour moves when rows are filtered. */
function coded(name, values = TEXTS[name].values) {
  const styles = values.map((value, at) => style(name, value, at));
  const room = innerWidth - 110, columns = narrow() && widest(values) < room / 2 - 15 ? 2 : 1; // of a phone, beneath the chart
  const legend = { title: title(name), symbolLimit: 60, columns, ...(narrow() ? { orient: 'bottom', labelLimit: room / columns - 15 } : { labelLimit: LEGEND }) };
  const scale = range => ({ domain: values, range: styles.map(range) });
  return {
    color: { field: 'by', type: 'nominal', scale: scale(of => of.colour), legend },
    shape: { field: 'by', type: 'nominal', scale: scale(of => of.shape), legend },
    dash: { field: 'by', type: 'nominal', scale: scale(of => of.dash), legend },
  };
}

/** The values pooled under a key: right ones and all, over the images of all seeds; one flagged seed flags it, as in the tables. */
function pooled(spots, key) {
  const groups = new Map();
  for (const spot of spots) {
    const name = key(spot);
    const of = groups.get(name) ?? groups.set(name, { ...spot, right: 0, all: 0, seeds: 0, flagged: 0 }).get(name);
    of.right += spot.k; of.all += spot.n; of.seeds++; of.flagged += spot.flagged;
  }
  return [...groups.values()].map(of => {
    const [low, high] = wilson(of.right, of.all);
    return { ...of, mean: 100 * of.right / of.all, low, high, flagged: of.flagged > 0, doubted: of.flagged ? `${of.flagged} of ${of.seeds}` : 'no' };
  });
}

/** How many attacks each model has at each epsilon, filtered out or not. */
const attacked = (() => {
  const found = new Map();
  for (let i = 0; i < SIZE; i++) if (!DATA.control[i]) { const key = `${DATA.unit[i]}|${TEXTS.space.codes[i]}|${TEXTS.epsilon.codes[i]}`; found.set(key, (found.get(key) ?? 0) + 1); }
  return found;
})();

const circuits = new Set(TEXTS.device.codes.filter((_, i) => text('kind', i) === 'circuit')); // the devices that run them
const place = i => ['model', 'images'].filter(several).map(name => text(name, i)).join(', ');
const named = (name, i) => name === 'place' ? place(i) : name ? text(name, i) : '';

/** Trained models at an epsilon: the worst case where every attack on one is shown, else the strongest that is left. */
function strongest(rows, { by, panels = '', space = choices.space, epsilon }) {
  const found = new Map(), each = by === 'attack' || panels === 'attack';
  for (const i of rows) {
    if (text('space', i) !== space || NUMBERS.robust[i] === null || (epsilon && text('epsilon', i) !== epsilon)) continue;
    if (DATA.control[i] && !each) continue;
    const key = `${DATA.unit[i]}|${TEXTS.space.codes[i]}|${TEXTS.epsilon.codes[i]}`, own = each ? `${key}|${TEXTS.attack.codes[i]}|${TEXTS.found.codes[i]}` : key;
    const of = found.get(own), n = NUMBERS.images_evaluated[i], flagged = DATA.flags[i].length > 0;
    if (!of) found.set(own, { i, key, n, k: NUMBERS.robust[i] * n / 100, rows: 1, flagged, by: named(by, i), panel: named(panels, i),
      epsilon: text('epsilon', i), strength: NUMBERS.strength[i], unit: DATA.unit[i], clean: NUMBERS.clean[i] * n / 100 });
    else { of.k = Math.min(of.k, NUMBERS.robust[i] * n / 100); of.rows++; of.flagged = each ? of.flagged || flagged : of.flagged && flagged; } // of a worst case every attack
  }
  if (!each) for (const of of found.values()) if (of.rows === attacked.get(of.key) && NUMBERS.worst[of.i] !== null) of.k = NUMBERS.worst[of.i] * of.n / 100;
  return [...found.values()];
}

/** Clean accuracies as points at epsilon 0. */
function starts(spots) {
  const units = new Map(spots.map(spot => [`${spot.panel}|${spot.by}|${spot.unit}`, { ...spot, k: spot.clean, strength: 0, epsilon: '0', flagged: false }]));
  return pooled(units.values(), spot => `${spot.panel}|${spot.by}`);
}

function strengthAxis(space) {
  const steps = epsilons(space), smallest = steps[0]?.[1] ?? 1, largest = steps.at(-1)?.[1] ?? 1, wide = largest / smallest > 12;
  const named = steps.map(([name, value]) => `abs(datum.value - ${value}) < ${value * 1e-4} ? ${JSON.stringify(name)} : `).join('');
  return { field: 'strength', type: 'quantitative', title: `epsilon (${space})`,
    scale: wide ? { type: 'symlog', constant: smallest, nice: false, domain: [0, largest] } : { nice: false, domain: [0, largest] },
    axis: { values: [0, ...steps.map(([, value]) => value)], labelOverlap: 'greedy', grid: false,
      labelExpr: `${named}format(datum.value, '.3~g')` } };
}

const tip = more => [...more, { field: 'mean', title: 'right, %', format: '.1f' }, { field: 'low', title: '95 % from', format: '.1f' },
  { field: 'high', title: 'to', format: '.1f' }, { field: 'seeds', title: 'models' }, { field: 'doubted', title: 'flagged' }];
/** The ink of a number on a field of that value: black or white, whichever stands out more from its colour. */
const inked = field => ({ condition: { test: `contrast(scale('color', datum.${field}), '#fff') > contrast(scale('color', datum.${field}), '#000')`, value: '#fff' }, value: '#000' });
const marked = () => ({ type: 'point', size: 46, strokeWidth: 1.6, filled: false, fill: { expr: `datum.flagged ? '${css('--back')}' : scale('color', datum.by || datum.value)` } }); // hollow: flagged

const draws = {
  accuracy(rows, width) {
    const { by, panels, space } = choices, spots = strongest(rows, { by, panels, space });
    const values = [...starts(spots), ...pooled(spots, s => `${s.panel}|${s.by}|${s.strength}`)];
    const code = coded(by), x = strengthAxis(space), panel = [...new Set(values.map(of => of.panel))];
    const columns = panel.length < 2 || narrow() ? 1 : width < 1000 || panel.length === 2 ? 2 : 3;
    const beside = narrow() ? 10 : 30 + Math.min(LEGEND, Math.max(120, widest(TEXTS[by].values)));
    const each = panel.length < 2 ? width : Math.max(180, (width - beside - columns * 46) / columns);
    const layer = [
      { mark: { type: 'line', strokeWidth: 1.7 }, encoding: { color: code.color, strokeDash: code.dash } },
      { mark: { type: 'rule', strokeWidth: 1, opacity: .55 }, encoding: { y: { ...RIGHT, field: 'low' }, y2: { field: 'high' }, color: code.color } },
      { mark: marked(), encoding: { color: code.color, shape: code.shape,
        tooltip: tip([{ field: 'by', title: title(by) }, { field: 'epsilon' }]) } },
    ];
    const one = { width: each, height: panel.length < 2 ? 320 : 200, layer, encoding: { x, y: RIGHT } };
    const spec = panel.length < 2 ? one
      : { facet: { field: 'panel', type: 'nominal', title: null, sort: panel, header: { labelLimit: each } }, columns, spec: { ...one } };
    return { spec, values, told: `${new Set(values.map(of => of.by)).size} curves in ${Math.max(1, panel.length)} panels` };
  },

  heat(rows, width) {
    const { epsilon, space } = choices, by = choices.by === 'attack' ? 'head' : choices.by, where = choices.panels === 'attack' ? '' : choices.panels;
    const whole = s => [s.by, named(where, s.i)].filter((part, at, all) => part && all.indexOf(part) === at).join(' · ');
    const worst = pooled(strongest(rows, { by, epsilon }), whole).map(of => ({ ...of, attack: 'worst case' }));
    const single = strongest(rows, { by: 'attack', panels: by, epsilon }).map(s => ({ ...s, attack: s.by + (text('found', s.i) === 'itself' ? '' : ' (transferred)'), by: s.panel }));
    const cells = [...pooled(single, s => `${whole(s)}|${s.attack}`), ...worst].map(of => ({ ...of, line: whole(of), said: of.mean.toFixed(0) + (of.flagged ? '!' : '') }));
    const place = of => [named(where, of.i), TEXTS[by].codes[of.i]], lines = [...new Map(cells.map(of => [of.line, place(of)]))];
    const order = lines.sort(([, [a, m]], [, [b, n]]) => a === b ? m - n : a.localeCompare(b, 'en', { numeric: true })).map(([line]) => line).slice(0, LINES);
    const values = cells.filter(of => order.includes(of.line)), attacks = [...TEXTS.attack.values, ...TEXTS.attack.values.map(value => `${value} (transferred)`), 'worst case'];
    const encoding = {
      x: { field: 'attack', type: 'nominal', sort: attacks, title: null, axis: { labelAngle: -35, orient: 'top', labelLimit: 130 } },
      y: { field: 'line', type: 'nominal', sort: order, title: null, axis: { labelLimit: Math.min(260, width * (narrow() ? .52 : .4)) } },
    };
    const tooltip = tip([{ field: 'line', title: title(by) }, { field: 'attack', title: 'Attack' }]);
    const spec = { width, height: 19 * order.length, encoding, layer: [
      { mark: { type: 'rect', cornerRadius: 2 }, encoding: { tooltip, color: { field: 'mean', type: 'quantitative',
        scale: { domain: [0, 100], scheme: 'blues' }, legend: null } } },
      { mark: { type: 'text', fontSize: 11 }, encoding: { text: { field: 'said' }, tooltip, color: inked('mean') } },
    ] };
    const left = lines.length - order.length;
    return { spec, values, told: `${values.length} fields at epsilon ${epsilon}, ${space}`, note: left > 0 ? `${left} more lines: filter to see them.` : '' };
  },

  clean(rows, width) {
    const by = choices.by === 'attack' ? 'head' : choices.by;
    const spots = strongest(rows, { by, epsilon: choices.epsilon }), key = s => ['model', 'images', 'head', 'device'].map(name => TEXTS[name].codes[s.i]).join('|');
    const before = new Map(pooled(spots.map(s => ({ ...s, k: s.clean })), key).map(of => [key(of), of.mean]));
    const values = pooled(spots, key).map(of => ({ ...of, clean: before.get(key(of)), what: ['model', 'images', 'head', 'device'].map(name => text(name, of.i)).join(', ') }));
    return { spec: scatter('clean', 'clean, %', `worst case at ${choices.epsilon}, %`, coded(by), width), values, told: `${values.length} models at epsilon ${choices.epsilon}` };
  },

  devices(rows, width) {
    const key = i => ['model', 'images', 'head', 'attack', 'found'].map(name => TEXTS[name].codes[i]).join('|');
    const spots = strongest(rows.filter(i => text('kind', i) === 'circuit'), { by: 'attack', epsilon: choices.epsilon });
    const its = pooled(spots, s => `${key(s.i)}|${text('device', s.i)}`).map(of => ({ ...of, by: text('device', of.i) }));
    const first = new Map(its.filter(of => of.by === choices.device).map(of => [key(of.i), of.mean]));
    const values = its.filter(of => of.by !== choices.device && first.has(key(of.i)))
      .map(of => ({ ...of, clean: first.get(key(of.i)), what: `${text('head', of.i)}, ${text('attack', of.i)}` }));
    return { spec: scatter('clean', `right on ${choices.device}, %`, 'right on the other device, %', coded('device', [...new Set(TEXTS.device.values.filter((_, code) => circuits.has(code)))]), width), values, filter: 'device',
      told: `${values.length} points at epsilon ${choices.epsilon}` };
  },

  cost(rows, width) {
    const by = choices.by, sums = new Map();
    for (const i of rows) if (NUMBERS[choices.cost][i]) sums.set(text(by, i), (sums.get(text(by, i)) ?? 0) + NUMBERS[choices.cost][i]);
    const values = [...sums].map(([name, sum]) => ({ by: name, sum }));
    const spec = { width: width, height: 22 * values.length, mark: { type: 'bar', cornerRadiusEnd: 2, height: { band: .72 } }, encoding: {
      y: { field: 'by', type: 'nominal', sort: TEXTS[by].values, title: null, axis: { labelLimit: 150 } },
      x: { field: 'sum', type: 'quantitative', title: title(choices.cost).toLowerCase(), axis: { tickCount: 5, format: '~s' } },
      color: { ...coded(by).color, legend: null }, tooltip: [{ field: 'by', title: title(by) }, { field: 'sum', title: title(choices.cost), format: ',.0f' }] } };
    return { spec, values, told: values.map(of => `${of.by} ${Math.round(of.sum).toLocaleString('en')}`).slice(0, 20).join(', ') };
  },

  levels(rows, width) {
    const shown = new Set(rows.map(i => ['model', 'images', 'head', 'device'].map(name => text(name, i)).join('|')));
    const values = DATA.levels.filter(of => shown.has(`${of.model}|${of.images}|${of.head}|${of.device}`)).map(of => ({ ...of, by: of.head, flagged: of.open, line: `${of.model}|${of.images}|${of.head}|${of.device}` }));
    const code = coded('head'), reference = values[0]?.reference ?? 'the reference';
    const x = { field: 'level', type: 'nominal', sort: ['pixels', 'features', 'angles'], title: null, axis: { labelAngle: 0 } };
    const y = { field: 'multiple', type: 'quantitative', title: `times as far as ${reference}`, scale: { type: 'log', base: 2 }, axis: { format: '.3~g' } };
    const detail = { field: 'line' };
    const spec = { width: width, height: 250, encoding: { x, y, detail }, layer: [
      { mark: { type: 'line', strokeWidth: 1.5 }, encoding: { color: code.color } },
      { mark: { type: 'rule', opacity: .5 }, encoding: { y: { ...y, field: 'low' }, y2: { field: 'high' }, color: code.color } },
      { mark: marked(), encoding: { color: code.color, shape: code.shape, tooltip: ['by', 'device', 'level', 'multiple', 'low', 'high'].map(field => ({ field })) } },
    ] };
    return { spec, values, filter: 'head', told: `${values.length} points` };
  },

  certificate(rows, width) {
    const has = rows.filter(i => NUMBERS.certified[i] !== null), by = choices.by === 'attack' ? 'head' : choices.by;
    const space = has.some(i => text('space', i) === choices.space) ? choices.space : has.length ? text('space', has[0]) : '';
    const sure = new Map(has.filter(i => text('space', i) === space).map(i => [`${DATA.unit[i]}|${TEXTS.epsilon.codes[i]}`, NUMBERS.certified[i]]));
    const spots = strongest(rows, { by, space }).filter(s => sure.has(`${s.unit}|${TEXTS.epsilon.codes[s.i]}`)), key = s => `${s.by}|${place(s.i)}|${s.strength}`;
    const lower = new Map(pooled(spots.map(s => ({ ...s, k: sure.get(`${s.unit}|${TEXTS.epsilon.codes[s.i]}`) * s.n / 100 })), key).map(of => [key(of), of.mean]));
    const values = pooled(spots, key).map(of => ({ ...of, where: place(of.i), certified: lower.get(key(of)) })), code = coded(by);
    const tooltip = [{ field: 'by', title: title(by) }, { field: 'epsilon' }, { field: 'certified', format: '.1f', title: 'certified, %' }, { field: 'mean', format: '.1f', title: 'worst case, %' }];
    const spec = { width: width, height: 250, encoding: { x: strengthAxis(space), color: code.color, detail: { field: 'where' } }, layer: [
      { mark: { type: 'area', opacity: .16 }, encoding: { y: { ...RIGHT, field: 'certified' }, y2: { field: 'mean' } } },
      { mark: { type: 'line', strokeDash: [3, 2] }, encoding: { y: { ...RIGHT, field: 'certified' } } },
      { mark: { type: 'line' }, encoding: { y: RIGHT } },
      { mark: marked(), encoding: { y: RIGHT, shape: code.shape, tooltip } },
    ] };
    return { spec, values, told: `${values.length} points` };
  },

  training(rows, width) {
    const shown = new Set(rows.map(i => ['model', 'images', 'head'].map(name => text(name, i)).join('|'))), measure = choices.measure, values = [];
    for (const of of DATA.training) if (shown.has(`${of.model}|${of.images}|${of.head}`)) for (const part of ['train', 'validation'])
      of.epochs.forEach((epoch, at) => { const value = of[`${part}_${measure}`][at];
        if (value !== null) values.push({ by: of.head, where: `${of.model}, ${of.images}`, seeds: of.seeds, part, epoch, value, line: `${of.model}|${of.images}|${of.head}|${part}` }); });
    const y = { field: 'value', type: 'quantitative', title: measure === 'loss' ? 'cross-entropy, nats' : 'right, %', scale: { zero: measure === 'loss' } };
    const tooltip = [{ field: 'by', title: title('head') }, { field: 'where', title: 'on' }, { field: 'part' }, { field: 'epoch' }, { field: 'value', format: '.3~g', title: measure }, { field: 'seeds' }];
    const code = coded('head'), every = Math.max(1, Math.ceil(Math.max(0, ...values.map(of => of.epoch)) / 8)); // greys are told apart by their points
    const dashes = { field: 'part', type: 'nominal', scale: { domain: ['validation', 'train'], range: [[1, 0], values.some(of => of.part === 'validation') ? [4, 3] : [1, 0]] }, legend: null };
    const spec = { width, height: 250, encoding: { y, detail: { field: 'line' }, color: code.color, x: { field: 'epoch', type: 'quantitative', title: 'epoch', axis: { tickMinStep: 1, grid: false } } }, layer: [
      { mark: { type: 'line', strokeWidth: 1.5 }, encoding: { tooltip, strokeDash: dashes } },
      { transform: [{ filter: `datum.epoch % ${every} === 0` }], mark: { type: 'point', size: 40, filled: true }, encoding: { tooltip, shape: code.shape } },
    ] };
    return { spec, values, filter: 'head', told: `${new Set(values.map(of => of.line)).size} curves` };
  },

  transfer(rows, width) {
    const matrix = DATA.transfers[+choices.matrix] ?? DATA.transfers[0] ?? { found: [], judges: [], cells: [] };
    const values = matrix.cells.map(of => ({ ...of, said: of.robust.toFixed(0) + (of.flagged ? '!' : '') }));
    const encoding = { x: { field: 'judge', type: 'nominal', sort: matrix.judges, title: 'judged by', axis: { labelAngle: -35, orient: 'top', labelLimit: 150 } },
      y: { field: 'found', type: 'nominal', sort: matrix.found, title: 'found on', axis: { labelLimit: 200 } }, tooltip: ['found', 'judge', 'robust', 'low', 'high'].map(field => ({ field })) };
    const spec = { width: Math.min(width, 240 + 64 * matrix.judges.length), height: 30 * matrix.found.length, encoding, layer: [
      { mark: { type: 'rect', cornerRadius: 2 }, encoding: { color: { field: 'robust', type: 'quantitative', scale: { domain: [0, 100], scheme: 'blues' }, legend: null },
        stroke: { condition: { test: 'datum.own', value: css('--ink') }, value: null }, strokeWidth: { value: 1.6 } } },
      { mark: { type: 'text', fontSize: 11 }, encoding: { text: { field: 'said' }, color: inked('robust') } },
    ] };
    return { spec, values, filter: null, told: matrix.title ?? '' };
  },
};

function scatter(field, x, y, code, width) {
  const axis = { type: 'quantitative', scale: { domain: [0, 100] } }, side = width;
  return { width: side, height: Math.min(320, side), layer: [
    { data: { values: [{ a: 0 }, { a: 100 }] }, mark: { type: 'line', strokeDash: [3, 3], color: css('--soft'), strokeWidth: 1 },
      encoding: { x: { field: 'a', type: 'quantitative' }, y: { field: 'a', type: 'quantitative' } } },
    { mark: { ...marked(), opacity: .9 }, encoding: { x: { ...axis, field, title: x, axis: { titleLimit: side - (narrow() ? 60 : 60 + LEGEND) } }, y: { ...axis, field: 'mean', title: y }, color: code.color, shape: code.shape,
      tooltip: tip([{ field: 'what', title: 'what' }, { field: 'by', title: 'by' }, { field, title: x, format: '.1f' }]) } },
  ] };
}

/** Whether the rows have anything for a chart at all. */
const there = {
  accuracy: () => spaces.length > 0, heat: () => spaces.length > 0, clean: () => spaces.length > 0, cost: () => SIZE > 0,
  devices: () => circuits.size > 1,
  training: () => DATA.training.length > 0,
  levels: () => DATA.levels.length > 0, certificate: () => NUMBERS.certified.some(value => value !== null), transfer: () => DATA.transfers.length > 0,
};

function theme() {
  const ink = css('--ink'), quiet = css('--soft'), line = css('--line'), font = 'system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';
  return { background: 'transparent', font, padding: 2, view: { stroke: null }, title: { color: ink },
    axis: { labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 'normal', labelFontSize: 11, titleFontSize: 11 },
    legend: { labelColor: ink, titleColor: quiet, titleFontWeight: 'normal', labelFontSize: 11, titleFontSize: 11 },
    header: { labelColor: ink, titleColor: ink, labelFontWeight: 600, labelFontSize: 11.5 } };
}
