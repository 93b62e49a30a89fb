/** From the model's output to class ids, colours and each class's share, in one pass over the mask. */

/** The classes' colours as canvas pixels; what is beyond the palette is transparent. */
export function paletteWords(palette) {
  const bytes = new Uint8ClampedArray(4 * 256);
  palette.forEach((colour, number) => bytes.set([...colour, 255], 4 * number));
  return new Uint32Array(bytes.buffer);
}

/** The mask at the input's size; made once per model and written over for every frame. */
export class Mask {
  /** @param {import('./manifest.js').Manifest} manifest */
  constructor({ input, output, classes, palette }) {
    [this.height, this.width] = [input.height, input.width];
    [this.rows, this.columns, this.depth] = [output.height, output.width, classes.length];
    this.colours = paletteWords(palette);
    this.labels = new Uint8Array(this.height * this.width);
    this.image = new ImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.counts = new Uint32Array(256);
    this.best = new Uint8Array(this.rows * this.columns);
    this.vertical = samples(this.rows, this.height);
    this.horizontal = samples(this.columns, this.width);
    this.runs = runsOf(this.horizontal.low);
    this.nearestRow = nearest(this.rows, this.height);
    this.nearestColumn = nearest(this.columns, this.width);
    this.pair = new Float64Array(2 * this.depth);
  }

  /**
   * Class ids as they are, at the nearest pixel where sizes differ.
   * @param {ArrayLike<number>} ids `[rows, columns]`
   */
  fromLabels(ids) {
    this.counts.fill(0);
    for (let y = 0, at = 0; y < this.height; y++) {
      const row = this.nearestRow[y] * this.columns;
      for (let x = 0; x < this.width; x++, at++) {
        const label = Number(ids[row + this.nearestColumn[x]]); // int64 ids are BigInt
        this.labels[at] = label;
        this.pixels[at] = this.colours[label];
        this.counts[label]++;
      }
    }
  }

  /**
   * Logits enlarged bilinearly (half-pixel centres), then the largest wins, the first of equals.
   *
   * Where the four logits around a pixel agree on the class, so does everything between them: an average of four
   * numbers that are each the largest of theirs is the largest. Only the cells at borders are interpolated.
   *
   * @param {ArrayLike<number>} logits `[rows, columns, classes]`; integers need no scale, which is one positive number
   */
  fromLogits(logits) {
    this.counts.fill(0);
    largest(logits, this.depth, this.best);
    if (this.rows === this.height && this.columns === this.width) return this.fromLabels(this.best);
    for (let y = 0; y < this.height; y++) {
      const top = this.vertical.low[y] * this.columns;
      const bottom = this.vertical.high[y] * this.columns;
      for (const [start, stop] of this.runs) this.#cell(logits, y, top, bottom, start, stop);
    }
  }

  #cell(logits, y, top, bottom, start, stop) {
    const { best, horizontal } = this;
    const [left, right] = [horizontal.low[start], horizontal.high[start]];
    const label = best[top + left];
    if (label === best[top + right] && label === best[bottom + left] && label === best[bottom + right]) {
      this.#fill(y * this.width + start, y * this.width + stop, label);
    } else {
      this.#interpolate(logits, y, [top + left, top + right, bottom + left, bottom + right], start, stop);
    }
  }

  #fill(from, to, label) {
    this.labels.fill(label, from, to);
    this.pixels.fill(this.colours[label], from, to);
    this.counts[label] += to - from;
  }

  #interpolate(logits, y, corners, start, stop) {
    const { depth, pair } = this;
    const down = this.vertical.share[y];
    const [topLeft, topRight, bottomLeft, bottomRight] = corners.map((corner) => corner * depth);
    for (let c = 0; c < depth; c++) {
      pair[c] = logits[topLeft + c] + (logits[bottomLeft + c] - logits[topLeft + c]) * down;
      pair[depth + c] =
        logits[topRight + c] + (logits[bottomRight + c] - logits[topRight + c]) * down - pair[c];
    }
    for (let x = start; x < stop; x++) {
      const across = this.horizontal.share[x];
      let label = 0;
      let most = pair[0] + pair[depth] * across;
      for (let c = 1; c < depth; c++) {
        const value = pair[c] + pair[depth + c] * across;
        if (value > most) {
          most = value;
          label = c;
        }
      }
      const at = y * this.width + x;
      this.labels[at] = label;
      this.pixels[at] = this.colours[label];
      this.counts[label]++;
    }
  }

  /** Each class's share of the mask, 0 to 1. */
  shares() {
    return Array.from({ length: this.depth }, (_, label) => this.counts[label] / this.labels.length);
  }
}

/**
 * The class of the largest logit at each place, the first of equals.
 * @param {ArrayLike<number>} logits `[..., depth]`
 * @param {number} depth
 * @param {Uint8Array} best one id per place
 */
export function largest(logits, depth, best) {
  for (let place = 0, at = 0; place < best.length; place++, at += depth) {
    let label = 0;
    for (let c = 1; c < depth; c++) if (logits[at + c] > logits[at + label]) label = c;
    best[place] = label;
  }
}

/** For each of `wanted` pixels: its two neighbours among `had`, and how far it lies towards the second. */
function samples(had, wanted) {
  const [low, high, share] = [new Int32Array(wanted), new Int32Array(wanted), new Float64Array(wanted)];
  for (let pixel = 0; pixel < wanted; pixel++) {
    const place = Math.min(Math.max(((pixel + 0.5) * had) / wanted - 0.5, 0), had - 1);
    low[pixel] = Math.floor(place);
    high[pixel] = Math.min(low[pixel] + 1, had - 1);
    share[pixel] = place - low[pixel];
  }
  return { low, high, share };
}

/** Stretches of pixels with the same left neighbour, as [start, stop]. */
function runsOf(low) {
  const runs = [];
  for (let start = 0, x = 1; x <= low.length; x++) {
    if (x === low.length || low[x] !== low[start]) {
      runs.push([start, x]);
      start = x;
    }
  }
  return runs;
}

/** For each of `wanted` pixels: the nearest of `had`, by pixel centres. */
function nearest(had, wanted) {
  return Int32Array.from({ length: wanted }, (_, pixel) =>
    Math.min(Math.floor(((pixel + 0.5) * had) / wanted), had - 1),
  );
}
