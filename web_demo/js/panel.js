/** The panel beside the picture: it shows what it is given, and reports choices. */

import { STAGES } from './timing.js';

const find = (selector) => document.querySelector(selector);

/** @param {string} tag @param {Record<string, any>} properties @param {...(Node | string)} children */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** @param {{file: string, label: string}[]} models @param {string | null} chosen file */
export function showModels(models, chosen) {
  const select = find('#model');
  select.replaceChildren(...models.map(({ file, label }) => element('option', { value: file }, label)));
  select.disabled = !models.length;
  if (!models.length) select.append(element('option', {}, 'none yet: open a .tflite'));
  if (chosen) select.value = chosen;
}

/** @param {import('./manifest.js').Manifest} manifest @param {number} size in bytes */
export function showFacts(manifest, size) {
  const { input, output, precision, classes } = manifest;
  const facts = [
    ['precision', precision],
    ['input', `${input.width} × ${input.height}, ${input.dtype}`],
    ['output', `${output.kind}, ${output.width} × ${output.height}, ${output.dtype}`],
    ['classes', String(classes.length)],
    ['file', `${(size / 1e6).toFixed(2)} MB`],
  ];
  find('#facts').replaceChildren(
    ...facts.flatMap(([key, value]) => [element('dt', {}, key), element('dd', {}, value)]),
  );
}

/**
 * @param {import('./litert.js').Accelerator[]} rows
 * @param {string} chosen id
 * @param {(id: string) => void} onChoose
 */
export function showAccelerators(rows, chosen, onChoose) {
  const made = rows.map(({ id, name, detail, available, reason }) => {
    const note = `why-${id}`;
    const input = element('input', { type: 'radio', name: 'accelerator', value: id, disabled: !available });
    input.checked = id === chosen;
    input.addEventListener('change', () => onChoose(id));
    if (!available) input.setAttribute('aria-describedby', note);
    const label = element('label', {}, input, element('b', {}, name), element('span', {}, detail));
    return element(
      'li',
      {},
      label,
      ...(available ? [] : [element('p', { id: note, className: 'why' }, `Not here: ${reason}.`)]),
    );
  });
  find('#accelerators').replaceChildren(...made);
}

/** @param {string} id of the accelerator in use */
export function markAccelerator(id) {
  for (const input of document.querySelectorAll('input[name=accelerator]')) input.checked = input.value === id;
}

/** @param {string} text what the user should know of where the model runs */
export function showNotice(text) {
  find('#notice').textContent = text;
  find('#notice').hidden = !text;
}

/** @param {ReturnType<import('./timing.js').Timing['summary']>} summary */
export function showTiming(summary) {
  find('#fps').textContent = summary?.count > 1 ? summary.fps.toFixed(summary.fps < 10 ? 1 : 0) : '–';
  find('#inference').textContent = summary ? milliseconds(summary.stages.inference) : '–';
  find('#basis').textContent = summary
    ? `median of ${summary.count === 1 ? 'one frame' : `the last ${summary.count} frames`}`
    : 'no frame yet';
  for (const [name] of STAGES) {
    find(`#time-${name}`).textContent = summary ? milliseconds(summary.stages[name]) : '–';
    find(`#bar-${name}`).style.flexGrow = summary ? String(summary.stages[name]) : '0';
  }
  find('#time-total').textContent = summary ? milliseconds(summary.total) : '–';
}

/** Build the rows that `showTiming` fills. */
export function buildTiming() {
  find('#bar').replaceChildren(...STAGES.map(([name]) => element('i', { id: `bar-${name}`, className: name })));
  const rows = STAGES.map(([name, what]) =>
    element(
      'tr',
      { title: what },
      element('th', { scope: 'row' }, element('i', { className: `key ${name}` }), name),
      element('td', { id: `time-${name}` }, '–'),
    ),
  );
  const total = element(
    'tr',
    {},
    element('th', { scope: 'row' }, 'total'),
    element('td', { id: 'time-total' }, '–'),
  );
  find('#stages').replaceChildren(...rows, total);
}

const milliseconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} ms`;

/** @param {import('./manifest.js').Manifest} manifest */
export function buildLegend({ classes, palette }) {
  const rows = classes.map((name, label) => {
    const row = element(
      'li',
      {},
      element('i', { className: 'swatch' }),
      element('span', {}, name),
      element('b', {}, '–'),
    );
    row.style.setProperty('--colour', `rgb(${palette[label].join(' ')})`);
    return row;
  });
  find('#legend').replaceChildren(...rows);
}

/** @param {number[]} shares of the frame, 0 to 1, by class */
export function showShares(shares) {
  const rows = find('#legend').children;
  shares.forEach((share, label) => {
    rows[label].style.setProperty('--share', `${100 * share}%`);
    rows[label].lastChild.textContent = `${(100 * share).toFixed(1)}%`;
    rows[label].classList.toggle('absent', share === 0);
  });
}

/** @param {{file: string, name: string}[]} samples @param {(file: string) => void} onChoose */
export function showSamples(samples, onChoose) {
  const buttons = samples.map(({ file, name }) => {
    const picture = element('img', { src: `samples/${file}`, alt: '', loading: 'lazy' });
    const button = element('button', { type: 'button', title: name, 'aria-label': `sample ${name}` }, picture);
    button.addEventListener('click', () => onChoose(file));
    return element('li', {}, button);
  });
  find('#samples').replaceChildren(...buttons);
}

/** @param {string} text of an error; empty takes the banner away */
export function showError(text) {
  find('#error-text').textContent = text;
  find('#error').hidden = !text;
}

/** @param {string} text what goes on now, also for screen readers */
export function showStatus(text) {
  find('#status').textContent = text;
}
