/** What stands beside the page: models and sample pictures, as `mobile-seg demo` serves them. */

import { DemoError } from './errors.js';

const FORMAT_VERSION = 1;

/**
 * @typedef {object} Entry
 * @property {string} file
 * @property {string} label
 * @property {string} [precision]
 * @property {() => Promise<Uint8Array>} read
 */

/** @returns {Promise<Entry[]>} none if no models stand beside the page */
export async function listModels() {
  const rows = await index('models');
  return rows.map(({ file, manifest }) => ({
    file,
    precision: manifest.precision,
    label: `${manifest.precision} · ${manifest.model}${suffix(manifest)}`,
    read: () => fetchBytes(`models/${encodeURIComponent(file)}`),
  }));
}

/** @returns {Promise<{file: string, name: string}[]>} */
export const listSamples = () => index('samples');

/** @param {File} file that was opened or dropped @returns {Entry} */
export function opened(file) {
  return { file: file.name, label: file.name, read: async () => new Uint8Array(await file.arrayBuffer()) };
}

/** What sets two exports of one network and precision apart. */
function suffix({ input, output }) {
  return ` · ${output.kind}${input.dtype === 'uint8' ? '' : ` · ${input.dtype} input`}`;
}

async function index(folder) {
  const response = await fetch(`${folder}/index.json`);
  if (response.status === 404) return [];
  if (!response.ok)
    throw new DemoError(`${folder}/index.json cannot be read: the server says ${response.status}.`);
  const found = await response.json();
  if (found.format_version !== FORMAT_VERSION) {
    throw new DemoError(
      `${folder}/index.json has format ${found.format_version}, this page reads ${FORMAT_VERSION}. ` +
        'Write it again with `mobile-seg bundle`.',
    );
  }
  return found[folder];
}

/** @param {string} url @returns {Promise<Uint8Array>} */
export async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok)
    throw new DemoError(`${url} cannot be read: the server says ${response.status}. Reload the page.`);
  return new Uint8Array(await response.arrayBuffer());
}
