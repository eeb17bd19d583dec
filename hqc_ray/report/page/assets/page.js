// The page: the table of cells, the lists of filters, and what redraws the charts.
const $ = (selector, within = document) => within.querySelector(selector);
const make = (tag, options = {}, ...children) => { const element = Object.assign(document.createElement(tag), options); element.append(...children); return element; };
const escaped = value => String(value).replace(/[&<>"]/g, sign => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
const round = (value, digits = 1) => value === null ? '–' : value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });

// the table of cells -------------------------------------------------------------------------------------------------------
const HIDDEN = new Set(['kind', 'qubits', 'space', 'found', 'status', 'images_evaluated', 'seconds', 'gradients', 'forwards', 'circuits', 'shots']);
const always = new Set(['head', 'attack', 'epsilon', 'clean', 'robust', 'worst']);
const COLUMNS = ['model', 'images', 'head', 'kind', 'qubits', 'device', 'space', 'epsilon', 'attack', 'found', 'seed', 'clean', 'robust', 'worst', 'certified',
  'flag', 'status', 'images_evaluated', 'seconds', 'gradients', 'forwards', 'circuits', 'shots'];

function column(name) {
  const interval = ['clean', 'robust', 'worst'].includes(name), whole = ['qubits', 'images_evaluated', 'gradients', 'forwards', 'circuits', 'shots'];
  const empty = name in NUMBERS ? NUMBERS[name].every(value => value === null) : name !== 'flag' && !several(name);
  const kind = name === 'epsilon' || name in NUMBERS ? 'num' : 'string';
  return {
    data: null, title: title(name), type: kind, className: kind === 'num' ? 'number' : name, visible: always.has(name) || !(HIDDEN.has(name) || empty), name,
    render(_, type, i) {
      if (name === 'flag') return DATA.flags[i].length ? type === 'display' ? DATA.flags[i].map(flag => `<code>${escaped(flag)}</code>`).join(' ') : DATA.flags[i].join(' ') : '';
      if (name === 'epsilon') return type === 'sort' || type === 'type' ? NUMBERS.strength[i] : text('epsilon', i);
      if (name in TEXTS) return type === 'display' ? escaped(text(name, i)).replace(/\[|_|,(?=\D)/g, sign => sign === '[' ? '<wbr>[' : `${sign}<wbr>`) : text(name, i);
      const value = NUMBERS[name][i];
      if (type !== 'display' || value === null) return type === 'display' ? name === 'robust' && text('status', i) === 'failed' ? 'failed' : '–' : value ?? '';
      const told = round(value, whole.includes(name) ? 0 : 1);
      const n = NUMBERS.images_evaluated[i];
      return interval && n ? `<b>${told}</b> <small>${wilson(value * n / 100, n).map(end => round(end, 0)).join('–')}</small>` : told;
    },
  };
}

const save = name => ({ extend: 'csvHtml5', text: 'CSV', title: name, titleAttr: 'Save the lines that are shown as CSV', escapeExcelFormula: true,
  exportOptions: { orthogonal: 'export', modifier: { search: 'applied' } } });
const words = { search: '', searchPlaceholder: 'Search', info: '_START_ to _END_ of _TOTAL_', infoFiltered: '(of _MAX_)', infoEmpty: 'none', emptyTable: 'No cells', zeroRecords: 'Nothing fits', lengthMenu: '_MENU_ lines' };
let passes = mask(), table = null, turn = 0, settled = Promise.resolve();

function makeTable() {
  table = new DataTable('#cells', {
    data: Array.from({ length: SIZE }, (_, i) => i), columns: COLUMNS.map(column), deferRender: true, autoWidth: false, order: [], pageLength: 25, lengthMenu: [10, 25, 100, 500],
    createdRow(row, i) { if (DATA.flags[i].length) row.classList.add('flagged'); if (text('status', i) === 'failed') row.classList.add('failed'); },
    headerCallback(head) { for (const cell of head.cells) cell.scope = 'col'; },
    layout: { topStart: { buttons: [{ extend: 'colvis', text: 'Columns' }, save(`${document.title} cells`)] }, topEnd: 'search', bottomStart: ['pageLength', 'info'], bottomEnd: 'paging' }, language: words,
  });
  table.search.fixed('filters', (_, data, index) => passes[index] === 1);
  table.on('search', () => { if (table.search() !== lastSearch) { lastSearch = table.search(); queueMicrotask(refresh); } });
}
let lastSearch = '';

/** The rows that filters and search let through. */
const rowsShown = () => table.rows({ search: 'applied' }).indexes().toArray();

// filters ------------------------------------------------------------------------------------------------------------------
const DIMENSIONS = [...Object.keys(TEXTS).filter(name => name === 'space' ? spaces.length > 1 : several(name)), ...(DATA.flags.some(flags => flags.length) ? ['flag'] : [])];

function makeFilters() {
  for (const name of DIMENSIONS) {
    const list = make('div', { className: 'list', role: 'group', ariaLabel: title(name) });
    for (const [value, count] of counts(name)) {
      const box = make('input', { type: 'checkbox', value });
      box.addEventListener('change', () => { toggle(name, value); apply(); });
      list.append(make('label', {}, box, ' ', value, ' ', make('small', { textContent: count.toLocaleString('en') })));
    }
    const details = make('details', { className: 'filter' }, make('summary', { textContent: title(name) }), list);
    details.dataset.name = name;
    details.addEventListener('toggle', () => { if (details.open) for (const other of document.querySelectorAll('.filter[open]')) if (other !== details) other.open = false; });
    $('#filters').append(details);
  }
  document.addEventListener('click', event => { for (const open of document.querySelectorAll('.filter[open]')) if (!open.contains(event.target)) open.open = false; });
  document.addEventListener('keydown', event => { const open = event.key === 'Escape' && $('.filter[open]'); if (open) { open.open = false; $('summary', open).focus(); } });
}

function tellFilters(rows) {
  for (const details of document.querySelectorAll('.filter')) {
    const wanted = filters.get(details.dataset.name);
    details.classList.toggle('active', Boolean(wanted));
    $('summary', details).textContent = title(details.dataset.name) + (wanted ? ` · ${wanted.size}` : '');
    for (const box of details.querySelectorAll('input')) box.checked = wanted?.has(box.value) ?? false;
  }
  const chips = [];
  for (const [name, wanted] of filters) for (const value of wanted) {
    const chip = make('button', { type: 'button', className: 'chip', textContent: `${title(name)}: ${value} ×`, ariaLabel: `Take the filter ${title(name)}: ${value} away` });
    chip.addEventListener('click', () => { toggle(name, value); apply(); });
    chips.push(chip);
  }
  if (filters.size || lastSearch) {
    const all = make('button', { type: 'button', className: 'chip', textContent: 'Show all' });
    all.addEventListener('click', () => { filters.clear(); table.search(''); lastSearch = ''; apply(); });
    chips.push(all);
  }
  $('#chosen').replaceChildren(make('b', { textContent: `${rows.length.toLocaleString('en')} of ${(SIZE + DATA.missing).toLocaleString('en')} cells${DATA.missing ? `, ${DATA.missing.toLocaleString('en')} to come` : ''}` }), ...chips);
}

// choices ------------------------------------------------------------------------------------------------------------------
function select(name, label, options, where) {
  if (options.length < 2) return;
  const list = make('select', {}, ...options.map(([value, told]) => make('option', { value, textContent: told })));
  list.dataset.choice = name;
  list.value = choices[name];
  list.addEventListener('change', () => { choices[name] = list.value; if (name === 'space') choices.epsilon = telling(choices.space); makeChoices(); refresh(); });
  where[where.className === 'tools' ? 'prepend' : 'append'](make('label', {}, label, ' ', list));
}

function makeChoices() {
  const where = $('#choices'), dimensions = ['head', 'attack', 'device', 'images', 'model', 'kind', 'seed'].filter(several), focused = document.activeElement?.dataset?.choice;
  where.replaceChildren();
  const named = dimensions.map(name => [name, title(name).toLowerCase()]);
  select('by', 'Colour by', named, where);
  select('panels', 'Panels by', [['', 'nothing'], ...(['model', 'images'].some(several) ? [['place', 'model and images']] : []), ...named], where);
  select('space', 'Perturbed', spaces.map(name => [name, name]), where);
  select('epsilon', 'At epsilon', epsilons(choices.space).map(([name]) => [name, name]), where);
  for (const [chart, name, label, options] of [
    ['devices', 'device', 'Against', [...circuits].map(code => TEXTS.device.values[code]).map(device => [device, device])],
    ['cost', 'cost', 'Count', ['seconds', 'gradients', 'forwards', 'circuits'].filter(of => NUMBERS[of].some(value => value)).map(of => [of, title(of).toLowerCase()])],
    ['training', 'measure', 'Show', [['loss', 'loss'], ['accuracy', 'accuracy']]],
    ['transfer', 'matrix', 'Attack', DATA.transfers.map((matrix, at) => [String(at), matrix.title])],
  ]) {
    const tools = $(`#chart-${chart} .tools`);
    if (tools) { $('label', tools)?.remove(); select(name, label, options, tools); }
  }
  if (focused) $(`[data-choice=${focused}]`)?.focus();
}

// charts -------------------------------------------------------------------------------------------------------------------
const drawn = new Map(); // name -> { view, signature }
const counted = { draws: 0, embeds: 0 };

/** Legends take clicks, as marks do, and their symbols are filled. */
function clickable(made) {
  for (const legend of made.legends ?? []) {
    const filled = legend.shape && legend.stroke ? { fill: { scale: legend.stroke, field: 'value' }, strokeDash: { value: [] } } : {};
    legend.encode = { ...legend.encode, symbols: { ...legend.encode?.symbols, interactive: true, update: { ...legend.encode?.symbols?.update, ...filled } },
      labels: { ...legend.encode?.labels, interactive: true } };
  }
  return made;
}

/** Room for what reaches out of a chart at its right: the narrower its columns get, the further their slanted names do. */
async function fit(view) {
  for (let width = null, tries = 0; width !== view.width() && tries < 5; tries++) { width = view.width(); await view.resize().runAsync(); }
}

async function draw(name, rows) {
  const figure = $(`#chart-${name}`), target = $('.drawing', figure);
  const { spec, values, told, filter, note } = draws[name](rows, Math.max(260, target.clientWidth - 4));
  counted.draws++;
  const label = target.ariaLabel = `${$('h3', figure).textContent}: ${told}`;
  figure.classList.toggle('empty', !values.length);
  if (!values.length) { drawn.get(name)?.view.finalize(); drawn.delete(name); target.replaceChildren(make('p', { className: 'soft', textContent: 'The chosen cells have nothing to draw here.' })); return; }
  $('.more', figure)?.remove();
  if (note) target.after(make('p', { className: 'soft more', textContent: note }));
  const signature = JSON.stringify([spec, dark.matches]), old = drawn.get(name);
  if (old?.signature === signature) { await fit(old.view.data('rows', values)); return; }
  old?.view.finalize();
  counted.embeds++;
  const whole = { ...spec, description: label, data: { name: 'rows', values }, config: theme(), autosize: spec.facet ? { type: 'pad' } : { type: 'fit-x', contains: 'padding' } };
  const { view } = await vegaEmbed(target, whole, { renderer: 'svg', actions: false, logLevel: 1, patch: clickable, tooltip: { theme: dark.matches ? 'dark' : 'light' } });
  await fit(view);
  const dimension = filter === undefined ? name === 'heat' || name === 'clean' || name === 'certificate' ? choices.by === 'attack' ? 'head' : choices.by : choices.by : filter;
  view.addEventListener('click', (_, item) => pick(item, dimension, name));
  drawn.set(name, { view, signature });
}

/** A click into a chart: the value of what was hit is a filter, or no longer one. */
function pick(item, dimension, name) {
  if (!item?.datum || !dimension) return;
  const value = item.datum.by ?? (item.mark?.role?.startsWith('legend') ? item.datum.value ?? item.datum.label : undefined);
  if (value === undefined || !(dimension in TEXTS) || !TEXTS[dimension].values.includes(value)) return;
  toggle(dimension, value);
  if (name === 'heat' && TEXTS.attack.values.includes(item.datum.attack)) toggle('attack', item.datum.attack);
  apply();
}

async function redraw(rows) {
  const mine = ++turn, names = [...document.querySelectorAll('figure[id^=chart-]')].map(figure => figure.id.slice(6));
  const near = name => { const box = $(`#chart-${name}`).getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight ? 0 : 1; };
  for (const name of names.sort((a, b) => near(a) - near(b))) {
    if (mine !== turn) return;
    await draw(name, rows);
    await new Promise(done => setTimeout(done)); // what the reader does goes first
  }
}

/** Charts, counts and address, after rows or choices have changed. */
function refresh() {
  const rows = rowsShown(), told = address(lastSearch);
  tellFilters(rows);
  if (told || location.hash.startsWith('#?')) history.replaceState(null, '', told ? `#?${told}` : '#results');
  settled = redraw(rows);
  return settled;
}

/** The same, after filters have changed: the table first. */
function apply() {
  passes = mask();
  table.draw();
  return refresh();
}

function makeTools() {
  for (const figure of document.querySelectorAll('figure[id^=chart-]')) {
    const name = figure.id.slice(6);
    if (!there[name]()) { figure.remove(); continue; }
    for (const kind of ['PNG', 'SVG']) {
      const button = make('button', { type: 'button', textContent: kind, ariaLabel: `Save ${$('h3', figure).textContent} as ${kind}` });
      button.addEventListener('click', async () => {
        const view = drawn.get(name)?.view;
        if (view) make('a', { href: await view.background(css('--back')).toImageURL(kind.toLowerCase(), 2), download: `${name}.${kind.toLowerCase()}` }).click();
      });
      $('.tools', figure).append(button);
    }
  }
}

// all other tables ---------------------------------------------------------------------------------------------------------
function makeTables() {
  const near = new IntersectionObserver(seen => { for (const { isIntersecting, target } of seen) if (isIntersecting) { near.unobserve(target); makeData($('table', target)); } }, { rootMargin: '800px' });
  for (const one of document.querySelectorAll('table.data')) if (one.tBodies[0].rows.length > 200) near.observe(one.closest('.scroll')); else makeData(one);
}

function makeData(one) {
  if (DataTable.isDataTable(one)) return;
  const many = one.tBodies[0].rows.length > 25;
  new DataTable(one, { paging: many, pageLength: 25, lengthMenu: [25, 100, 500], searching: many, info: many, order: [], autoWidth: false, language: words,
    headerCallback(head) { for (const cell of head.cells) cell.scope = 'col'; },
    layout: { topStart: { buttons: [save(`${document.title} ${one.dataset.name}`)] }, topEnd: many ? 'search' : null, bottomStart: many ? ['pageLength', 'info'] : null, bottomEnd: many ? 'paging' : null } });
}

addEventListener('hashchange', () => { if (location.hash.startsWith('#?')) restore(); });
const shade = () => document.documentElement.classList.toggle('dark', dark.matches); // what DataTables asks for
shade();
dark.addEventListener('change', () => { if (!printing) { shade(); refresh(); } });
let width = innerWidth, wait = 0;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(wait); wait = setTimeout(refresh, 150); } });

function restore() {
  lastSearch = read(location.hash.startsWith('#?') ? location.hash.slice(2) : '');
  table.search(lastSearch);
  makeChoices();
  return apply();
}

if ($('#cells') && SIZE) {
  makeTable(); makeFilters(); makeTools();
  await restore();
}
makeTables();
window.report = { table, filters, choices, apply, refresh, shown: rowsShown, settled: () => settled, counted, drawn };
document.documentElement.dataset.ready = 'yes';
