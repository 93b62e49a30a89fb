/** From a frame of any size to the values of the input tensor. */

/**
 * What each byte of the image becomes in the input tensor.
 * @param {import('./manifest.js').InputSpec} spec
 * @returns {Uint8Array | Int8Array | Float32Array} 256 values
 */
export function byteTable({ dtype, mean, std, normalized_outside: normalized }) {
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  if (dtype === 'uint8') return bytes;
  if (dtype === 'int8') return Int8Array.from(bytes, (byte) => byte - 128);
  if (!normalized) return Float32Array.from(bytes);
  // Rounded to float32 after each step, as the exporter's own runner does.
  return Float32Array.from(bytes, (byte) => Math.fround(byte - Math.fround(mean)) / Math.fround(std));
}

/** Draws frames at the model's input size; the platform does the resize. */
export class Resizer {
  /** @param {{height: number, width: number}} spec */
  constructor({ height, width }) {
    const canvas = new OffscreenCanvas(width, height);
    // Read back every frame: a canvas in main memory spares the way to the GPU and back.
    this.context = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    this.context.imageSmoothingEnabled = true;
    this.context.imageSmoothingQuality = 'low'; // bilinear, without the averaging of the better ones
    this.size = [width, height];
  }

  /**
   * @param {CanvasImageSource} frame stretched to the input's size
   * @returns {Uint8ClampedArray} RGBA, row by row
   */
  read(frame) {
    this.context.drawImage(frame, 0, 0, ...this.size);
    return this.context.getImageData(0, 0, ...this.size).data;
  }
}

/**
 * Leave out alpha and map each byte: the one pass over pixels, straight into the tensor's memory.
 * @param {Uint8ClampedArray} rgba
 * @param {ReturnType<typeof byteTable>} table
 * @param {Uint8Array | Int8Array | Float32Array} target three values per pixel
 */
export function pack(rgba, table, target) {
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    target[to] = table[rgba[from]];
    target[to + 1] = table[rgba[from + 1]];
    target[to + 2] = table[rgba[from + 2]];
  }
}
