/**
 * Reads one member of a ZIP archive that stands at the end of a file, as in a TFLite file with metadata.
 * Format: PKWARE APPNOTE 6.3.9, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
 */

import { DemoError } from './errors.js';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_SIZE = 22;
const LONGEST_COMMENT = 0xffff;
const STORED = 0;
const DEFLATED = 8;
const LARGEST_MEMBER = 16 << 20;

/**
 * @param {Uint8Array} bytes the whole file
 * @param {string} name of the member
 * @returns {Promise<Uint8Array | null>} its content; null if there is no archive, or no such member in it
 * @throws {DemoError} if there is one, but damaged
 */
export async function readMember(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endRecord(view);
  if (end < 0) return null;
  try {
    const entry = findEntry(view, bytes, end, name);
    return entry && (await content(view, bytes, entry));
  } catch (error) {
    if (error instanceof DemoError) throw error;
    throw damaged(name, error instanceof Error ? error.message : String(error));
  }
}

function endRecord(view) {
  const first = Math.max(0, view.byteLength - END_SIZE - LONGEST_COMMENT);
  for (let at = view.byteLength - END_SIZE; at >= first; at--) {
    if (view.getUint32(at, true) === END && at + END_SIZE + view.getUint16(at + 20, true) <= view.byteLength)
      return at;
  }
  return -1;
}

function findEntry(view, bytes, end, name) {
  const count = view.getUint16(end + 10, true);
  const size = view.getUint32(end + 12, true);
  // What stands before the archive may or may not be counted in its offsets; this difference says.
  const shift = end - size - view.getUint32(end + 16, true);
  let at = end - size;
  for (let number = 0; number < count; number++) {
    if (view.getUint32(at, true) !== CENTRAL) throw damaged(name, 'its directory is cut');
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    if (new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength)) === name) {
      return {
        name,
        method: view.getUint16(at + 10, true),
        crc: view.getUint32(at + 16, true),
        packed: view.getUint32(at + 20, true),
        size: view.getUint32(at + 24, true),
        local: view.getUint32(at + 42, true) + shift,
      };
    }
    at += 46 + nameLength + extra + comment;
  }
  return null;
}

async function content(view, bytes, { name, method, crc, packed, size, local }) {
  if (view.getUint32(local, true) !== LOCAL) throw damaged(name, 'its header is missing');
  if (size > LARGEST_MEMBER) throw damaged(name, `it claims ${size} bytes`);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const raw = bytes.subarray(start, start + packed);
  let found = raw;
  if (method === DEFLATED) found = await inflate(raw);
  else if (method !== STORED) throw damaged(name, `it is packed by method ${method}`);
  if (found.length !== size || crc32(found) !== crc) throw damaged(name, 'its checksum does not match');
  return found;
}

async function inflate(raw) {
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * CRC-32 as ZIP has it.
 * @param {Uint8Array} bytes
 * @returns {number}
 */
export function crc32(bytes) {
  let value = ~0;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

function damaged(name, why) {
  return new DemoError(
    `This file holds ${name}, but damaged: ${why}. Copy the file again, or export the model again.`,
  );
}
