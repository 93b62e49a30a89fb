/** What needs no browser: `npm test`. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateRawSync } from 'node:zlib';

globalThis.ImageData = class {
  constructor(width, height) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }
};

const { parseManifest, readManifest } = await import('../js/manifest.js');
const { Mask, paletteWords } = await import('../js/postprocess.js');
const { byteTable, pack } = await import('../js/preprocess.js');
const { median, STAGES, Timing } = await import('../js/timing.js');
const { crc32, readMember } = await import('../js/zip.js');
const { describe, DemoError } = await import('../js/errors.js');

const utf8 = (text) => new TextEncoder().encode(text);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

/** A ZIP archive, its offsets counted from `base`. */
function zip(members, { base = 0, deflate = false, comment = '' } = {}) {
  const [files, directory] = [[], []];
  let at = base;
  for (const [name, text] of Object.entries(members)) {
    const [raw, title] = [utf8(text), utf8(name)];
    const body = deflate ? deflateRawSync(raw) : raw;
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(4, deflate ? 8 : 0, true);
    common.setUint32(10, crc32(raw), true);
    common.setUint32(14, body.length, true);
    common.setUint32(18, raw.length, true);
    common.setUint16(22, title.length, true);
    const fields = new Uint8Array(common.buffer);
    files.push(utf8('PK\x03\x04'), fields, title, body);
    const place = new DataView(new ArrayBuffer(4));
    place.setUint32(0, at, true);
    directory.push(
      utf8('PK\x01\x02'),
      [20, 0],
      fields,
      new Uint8Array(10),
      new Uint8Array(place.buffer),
      title,
    );
    at += 30 + title.length + body.length;
  }
  const listed = join(...directory);
  const end = new DataView(new ArrayBuffer(18));
  end.setUint16(4, Object.keys(members).length, true);
  end.setUint16(6, Object.keys(members).length, true);
  end.setUint32(8, listed.length, true);
  end.setUint32(12, at, true);
  end.setUint16(16, comment.length, true);
  return join(...files, listed, utf8('PK\x05\x06'), new Uint8Array(end.buffer), utf8(comment));
}

const MANIFEST = {
  model: 'tiny',
  precision: 'int8',
  input: { height: 6, width: 8, dtype: 'uint8', mean: 128, std: 128, normalized_outside: false },
  output: { kind: 'logits', height: 3, width: 4, dtype: 'int8' },
  classes: ['road', 'sky', 'tree'],
  palette: [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ],
  ignore: 255,
  format_version: 1,
};
const changed = (change) => JSON.stringify({ ...structuredClone(MANIFEST), ...change });
const input = (change) => changed({ input: { ...MANIFEST.input, ...change } });
const output = (change) => changed({ output: { ...MANIFEST.output, ...change } });

test('CRC-32 has its known value', () => assert.equal(crc32(utf8('123456789')), 0xcbf43926));

for (const deflate of [false, true]) {
  for (const [what, prefix, base] of [
    ['alone', '', 0],
    ['behind a model, offsets from the start of the file', 'model bytes', 11],
    ['behind a model, offsets from the archive', 'model bytes', 0],
  ]) {
    test(`a member is read: deflate ${deflate}, ${what}`, async () => {
      const members = { 'labels.txt': 'road\nsky\n', 'mobile_seg.json': '{"a": "é"}'.repeat(50) };
      const bytes = join(utf8(prefix), zip(members, { base, deflate, comment: 'no comment' }));
      for (const [name, text] of Object.entries(members)) {
        assert.equal(new TextDecoder().decode(await readMember(bytes, name)), text);
      }
      assert.equal(await readMember(bytes, 'other'), null);
    });
  }
}

test('what is no archive has no members', async () => {
  for (const size of [0, 4, 21, 22, 5000]) assert.equal(await readMember(new Uint8Array(size), 'a'), null);
});

test('every single wrong byte is found or harmless', async () => {
  const sound = zip({ 'a.json': '{"key": "value"}' });
  for (let at = 0; at < sound.length; at++) {
    const bytes = sound.slice();
    bytes[at] ^= 0x55;
    const found = await readMember(bytes, 'a.json').catch((error) => error);
    if (found instanceof Uint8Array) assert.deepEqual(found, utf8('{"key": "value"}'));
    else assert.ok(found === null || found instanceof DemoError, `byte ${at}: ${found}`);
  }
});

test('a manifest is read from the file that carries it', async () => {
  const model = join([0, 0, 0, 0], utf8('TFL3'), new Uint8Array(40));
  const bytes = join(model, zip({ 'mobile_seg.json': changed({}) }, { base: model.length }));
  assert.deepEqual(await readManifest(bytes, 'x.tflite'), MANIFEST);
  await assert.rejects(readManifest(model, 'x.tflite'), /x\.tflite carries no manifest.*mobile-seg export/);
  await assert.rejects(readManifest(utf8('hello, this is text'), 'x.txt'), /not a TFLite model/);
});

for (const [what, text, says] of [
  ['no JSON', '{', /not JSON/],
  ['no object', 'null', /format undefined/],
  ['newer', changed({ format_version: 2 }), /format 2, this page reads 1.*upgrade mobile-seg/],
  ['older', changed({ format_version: 0 }), /format 0/],
  ['no classes', changed({ classes: [], palette: [] }), /names no classes/],
  ['colours missing', changed({ palette: [[1, 2, 3]] }), /3 classes but 1 colours/],
  [
    'a wrong colour',
    changed({
      palette: [
        [1, 2, 3],
        [1, 2],
        [3, 3, 3],
      ],
    }),
    /three bytes/,
  ],
  ['panoptic', changed({ task: 'panoptic' }), /task is panoptic/],
  ['no input', changed({ input: undefined }), /no input size/],
  ['a size of zero', input({ width: 0 }), /no input size/],
  ['an unknown dtype', input({ dtype: 'float16' }), /float16, expected uint8/],
  ['int8 of unknown scale', input({ dtype: 'int8', normalized_outside: true }), /--io uint8/],
  ['another resize', input({ resize: 'letterbox' }), /letterbox/],
  ['another layout', input({ layout: 'nchw' }), /nchw/],
  ['an unknown output', output({ kind: 'boxes' }), /boxes, expected logits/],
]) {
  test(`a manifest is refused: ${what}`, () => {
    assert.throws(
      () => parseManifest(text, 'x.tflite'),
      (error) => error instanceof DemoError && says.test(error.message),
    );
  });
}

test('bytes become what the input tensor holds', () => {
  const table = (change) => byteTable({ ...MANIFEST.input, ...change });
  assert.deepEqual([...table({})].slice(254), [254, 255]);
  assert.deepEqual(
    [0, 128, 255].map((byte) => table({ dtype: 'int8' })[byte]),
    [-128, 0, 127],
  );
  assert.deepEqual(
    [0, 255].map((byte) => table({ dtype: 'float32' })[byte]),
    [0, 255],
  );
  const normalized = table({ dtype: 'float32', mean: 127.5, std: 127.5, normalized_outside: true });
  assert.deepEqual([normalized[0], normalized[255]], [-1, 1]);
  const target = new Float32Array(6);
  pack(Uint8ClampedArray.from([0, 255, 0, 77, 255, 0, 255, 77]), normalized, target);
  assert.deepEqual([...target], [-1, 1, -1, 1, -1, 1]);
});

/** The mask by the definition: every logit enlarged, the largest taken. */
function enlarged(logits, [rows, columns, depth], [height, width]) {
  const place = (pixel, had, wanted) => Math.min(Math.max(((pixel + 0.5) * had) / wanted - 0.5, 0), had - 1);
  return Array.from({ length: height * width }, (_, at) => {
    const [y, x] = [place(Math.floor(at / width), rows, height), place(at % width, columns, width)];
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [bottom, right] = [Math.min(top + 1, rows - 1), Math.min(left + 1, columns - 1)];
    const value = (c) => {
      const one = (row, column) => logits[(row * columns + column) * depth + c];
      const west = one(top, left) * (1 - y + top) + one(bottom, left) * (y - top);
      const east = one(top, right) * (1 - y + top) + one(bottom, right) * (y - top);
      return west * (1 - x + left) + east * (x - left);
    };
    const values = Array.from({ length: depth }, (_, c) => value(c));
    return values.map((one) => one.toFixed(9)).indexOf(Math.max(...values).toFixed(9));
  });
}

test('logits become the mask of enlarged logits', () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (const [low, high] of [
    [
      [3, 4],
      [6, 8],
    ],
    [
      [3, 4],
      [24, 32],
    ],
    [
      [2, 3],
      [7, 10],
    ],
    [
      [1, 1],
      [4, 4],
    ],
    [
      [6, 8],
      [6, 8],
    ],
  ]) {
    const depth = 5;
    const manifest = {
      input: { height: high[0], width: high[1] },
      output: { height: low[0], width: low[1] },
      classes: Array(depth).fill('x'),
      palette: Array.from({ length: depth }, (_, label) => [label, 0, 0]),
    };
    const logits = Float32Array.from({ length: low[0] * low[1] * depth }, random);
    const mask = new Mask(manifest);
    for (let repeat = 0; repeat < 2; repeat++) mask.fromLogits(logits); // nothing of the last frame stays
    assert.deepEqual([...mask.labels], enlarged(logits, [...low, depth], high));
    assert.deepEqual(
      [...mask.labels],
      [...mask.image.data].filter((_, at) => at % 4 === 0),
    );
    assert.ok(Math.abs(mask.shares().reduce((sum, share) => sum + share) - 1) < 1e-9);
  }
});

test('of equal logits the first wins, everywhere', () => {
  const mask = new Mask(MANIFEST);
  mask.fromLogits(new Int8Array(3 * 4 * 3).fill(7));
  assert.ok(mask.labels.every((label) => label === 0));
});

test('class ids are shown as they are, and enlarged to the nearest', () => {
  const mask = new Mask({ ...MANIFEST, output: { ...MANIFEST.output, kind: 'labels' } });
  mask.fromLabels(BigInt64Array.from({ length: 12 }, (_, at) => BigInt(at % 3)));
  assert.deepEqual([...mask.labels.subarray(0, 8)], [0, 0, 1, 1, 2, 2, 0, 0]);
  assert.deepEqual([...mask.image.data.subarray(0, 4)], [1, 2, 3, 255]);
  assert.deepEqual(
    mask.shares().map((share) => share.toFixed(3)),
    ['0.333', '0.333', '0.333'],
  );
});

test('what is beyond the palette is transparent', () => assert.equal(paletteWords(MANIFEST.palette)[255], 0));

test('timing gives medians of the last frames, and nothing of none', () => {
  const timing = new Timing();
  assert.equal(timing.summary(), null);
  for (const value of [100, ...Array(60).fill(2)]) {
    timing.add(Object.fromEntries(STAGES.map(([name]) => [name, value])));
  }
  const { count, stages, total, fps } = timing.summary();
  assert.deepEqual([count, stages.pre, total, fps], [60, 2, 10, 100]);
  assert.equal(median([3, 1, 2, 10]), 2.5);
  assert.throws(() => median([]), RangeError);
});

test('messages are for people', () => {
  assert.equal(describe(new DemoError('Do this.')), 'Do this.');
  assert.match(describe(new TypeError('x is null')), /Unexpected: x is null\. Reload/);
  assert.match(describe('text'), /Unexpected: text/);
});
