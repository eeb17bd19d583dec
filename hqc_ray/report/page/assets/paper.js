// The page on paper: light whatever the screen is, and tables with all their lines, or with a word on where the rest is.
// All of it at once: a print does not wait for anything.
const MOST_LINES = 500; // of a table on paper
let printing = false, undo = [];

/** What was drawn for a dark screen, in the colours of paper. */
function lighten() {
  const tones = ['ink', 'soft', 'line', 'back'].map(name => [css(`--dark-${name}`), css(`--light-${name}`)]);
  const light = new Map([...tones, ...Object.entries(LIGHTER).map(([light, dark]) => [dark, light])]);
  for (const one of document.querySelectorAll('.drawing svg *')) for (const name of ['fill', 'stroke']) {
    const shown = one.getAttribute(name), value = light.get(shown);
    if (value) { one.setAttribute(name, value); undo.push(() => one.setAttribute(name, shown)); }
  }
  document.documentElement.classList.remove('dark');
}

/** All lines of a table; of too many those that are shown, and where all are. */
function unpage(its) {
  const length = its.page.len(), all = its.rows({ search: 'applied' }).count(), frame = its.table().container();
  if (all <= length || length < 0) return;
  if (all <= MOST_LINES) { its.page.len(-1).draw(); undo.push(() => its.page.len(length).draw()); return; }
  const shown = its.rows({ search: 'applied', page: 'current' }).count(), file = its.table().node().id === 'cells' ? 'rows.csv' : 'table.md';
  const note = make('p', { className: 'note', textContent: `On paper: ${shown.toLocaleString('en')} of ${all.toLocaleString('en')} lines; all are in ${file}, beside this page.` });
  frame.after(note);
  undo.push(() => note.remove());
}

function toPaper() {
  if (printing) return;
  printing = true;
  if (dark.matches || document.documentElement.classList.contains('dark')) lighten();
  document.querySelectorAll('table.data').forEach(makeData);
  for (const one of DataTable.tables()) unpage(new DataTable.Api(one));
}

function toScreen() {
  if (!printing) return;
  undo.reverse().forEach(step => step());
  printing = false;
  undo = [];
  shade();
  if (table) refresh();
}

addEventListener('beforeprint', toPaper);
addEventListener('afterprint', toScreen);
matchMedia('print').addEventListener('change', print => print.matches ? toPaper() : toScreen()); // where nothing tells of a print
