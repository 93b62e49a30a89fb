/** The manifest inside a model file: what the page must know to feed the model and to read its output. */

import { DemoError } from './errors.js';
import { readMember } from './zip.js';

/** The format this page reads; `mobile_seg/manifest.py` writes it and says what the fields mean. */
export const FORMAT_VERSION = 1;
const MEMBER = 'mobile_seg.json';
const TFLITE_MARK = 'TFL3';

const INPUT_TYPES = ['uint8', 'int8', 'float32'];
const OUTPUT_KINDS = ['logits', 'logits-full', 'labels', 'labels-nearest'];

/**
 * @typedef {object} InputSpec
 * @property {number} height
 * @property {number} width
 * @property {string} dtype uint8, int8 or float32
 * @property {number} mean
 * @property {number} std
 * @property {boolean} normalized_outside
 * @property {string} resize
 * @property {string} [layout]
 *
 * @typedef {object} OutputSpec
 * @property {string} kind one of OUTPUT_KINDS
 * @property {number} height
 * @property {number} width
 * @property {string} dtype
 * @property {string} [layout]
 *
 * @typedef {object} Manifest
 * @property {string} model
 * @property {string} precision
 * @property {InputSpec} input
 * @property {OutputSpec} output
 * @property {string[]} classes
 * @property {number[][]} palette RGB, one row per class
 * @property {number} ignore
 * @property {number} format_version
 */

/**
 * @param {Uint8Array} bytes of a .tflite file
 * @param {string} name of the file, for messages
 * @returns {Promise<Manifest>}
 * @throws {DemoError} if it is no TFLite file, has no manifest, or one that this page cannot follow
 */
export async function readManifest(bytes, name) {
  if (String.fromCharCode(...bytes.subarray(4, 8)) !== TFLITE_MARK) {
    throw new DemoError(`${name} is not a TFLite model. Open a .tflite file that \`mobile-seg export\` wrote.`);
  }
  const member = await readMember(bytes, MEMBER);
  if (!member) {
    throw new DemoError(
      `${name} carries no manifest, so its classes, colours and input are not known: it was not written by ` +
        'mobile-seg, or it is cut short. Export the model with `mobile-seg export` and open that file.',
    );
  }
  return parseManifest(new TextDecoder().decode(member), name);
}

/**
 * @param {string} text JSON
 * @param {string} name of the file, for messages
 * @returns {Manifest}
 * @throws {DemoError} if this page cannot follow it
 */
export function parseManifest(text, name) {
  let found;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new DemoError(`The manifest in ${name} is not JSON (${error.message}). Export the model again.`);
  }
  if (found?.format_version > FORMAT_VERSION) {
    throw new DemoError(
      `The manifest in ${name} has format ${found.format_version}, this page reads ${FORMAT_VERSION}. ` +
        'Update the page: upgrade mobile-seg and start `mobile-seg demo` again.',
    );
  }
  const problem =
    found?.format_version === FORMAT_VERSION ? firstProblem(found) : `format ${found?.format_version}`;
  if (problem)
    throw new DemoError(`The manifest in ${name} cannot be used: ${problem}. Export the model again.`);
  return found;
}

function firstProblem({ input, output, classes, palette, task = 'semantic' }) {
  const isSize = (value) => Number.isInteger(value) && value > 0;
  const isColour = (row) =>
    Array.isArray(row) && row.length === 3 && row.every((one) => one >= 0 && one <= 255);
  const rules = [
    [task === 'semantic', () => `its task is ${task}, this page shows semantic segmentation`],
    [Array.isArray(classes) && classes.length > 0, () => 'it names no classes'],
    [classes?.length < 255, () => `it names ${classes.length} classes, this page shows up to 254`],
    [palette?.length === classes?.length, () => `${classes.length} classes but ${palette?.length} colours`],
    [palette?.every(isColour), () => 'a colour is not three bytes'],
    [isSize(input?.height) && isSize(input?.width), () => 'it has no input size'],
    [isSize(output?.height) && isSize(output?.width), () => 'it has no output size'],
    [
      INPUT_TYPES.includes(input?.dtype),
      () => `input dtype ${input.dtype}, expected ${INPUT_TYPES.join(', ')}`,
    ],
    [
      OUTPUT_KINDS.includes(output?.kind),
      () => `output kind ${output.kind}, expected ${OUTPUT_KINDS.join(', ')}`,
    ],
    [(input?.resize ?? 'stretch-bilinear') === 'stretch-bilinear', () => `resize ${input.resize}`],
    [(input?.layout ?? 'nhwc') === 'nhwc', () => `input layout ${input.layout}, expected nhwc`],
    [(output?.layout ?? 'nhwc') === 'nhwc', () => `output layout ${output.layout}, expected nhwc`],
    [
      input?.dtype !== 'int8' || !input.normalized_outside,
      () => 'int8 input of normalized values, whose scale it does not state; export with --io uint8',
    ],
    [
      input?.dtype !== 'float32' || !input.normalized_outside || input.std > 0,
      () => `it divides by std ${input.std}`,
    ],
  ];
  return rules.find(([holds]) => !holds)?.[1]();
}

/**
 * @param {Manifest} manifest
 * @returns {boolean} whether the output holds class ids rather than logits
 */
export const givesLabels = (manifest) => manifest.output.kind.startsWith('labels');
