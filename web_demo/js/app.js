/** The page: what is chosen, and the loop from frame to mask. */

import { describe, DemoError } from './errors.js';
import { fetchBytes, listModels, listSamples, opened } from './library.js';
import { accelerators, crashMarker } from './litert.js';
import { readManifest } from './manifest.js';
import * as panel from './panel.js';
import { Pipeline } from './pipeline.js';
import { openCamera, openImage, openVideo } from './sources.js';
import { Stage } from './stage.js';
import { Timing } from './timing.js';

const REPEATS = 30;
const WARMUP = 5;
const PANEL_EVERY = 200; // milliseconds between two updates of figures; faster cannot be read

const find = (selector) => document.querySelector(selector);

class App {
  constructor() {
    this.stage = new Stage(find('#stage'));
    this.timing = new Timing();
    this.models = [];
    this.rows = [];
    this.accelerator = 'wasm';
    this.entry = null;
    this.pipeline = null;
    this.source = null;
    this.turn = Promise.resolve();
    this.remark = ''; // for the first model's notice
    this.shownAt = 0;
  }

  async start() {
    panel.buildTiming();
    panel.showTiming(null);
    this.#listen();
    await this.#attempt('looking for accelerators', async () => {
      this.rows = await accelerators();
      this.accelerator = this.rows.find(({ id, available }) => id === 'threads' && available)
        ? 'threads'
        : 'wasm';
      if (crashMarker.found()) {
        crashMarker.clear();
        this.remark = 'The page ended while WebGPU was starting the last time. It now begins on WebAssembly.';
      }
      panel.showAccelerators(this.rows, this.accelerator, (id) =>
        this.#act('', () => this.#chooseAccelerator(id)),
      );
    });
    let samples = [];
    await this.#attempt('looking for models', async () => {
      [this.models, samples] = await Promise.all([listModels(), listSamples()]);
      panel.showSamples(samples, (file) => this.#act(`opening ${file}`, () => this.#sample(file)));
      panel.showModels(this.models, null);
    });
    const first = this.models.find(({ precision }) => precision === 'int8') ?? this.models[0];
    if (first) await this.#act('', () => this.#openModel(first));
    if (samples.length) await this.#act('', () => this.#sample(samples[0].file));
    this.#state('ready');
  }

  /** Do one thing after the other; what goes wrong is shown, and the page goes on. */
  #act(text, action) {
    this.turn = this.turn.then(() => this.#attempt(text, action));
    return this.turn;
  }

  async #attempt(text, action) {
    this.#state('busy');
    panel.showError('');
    if (text) panel.showStatus(`${text} …`);
    try {
      await action();
    } catch (error) {
      console.error(error);
      panel.showError(describe(error));
      if (this.entry) panel.showModels(this.models, this.entry.file); // not the one that failed
    }
    panel.showStatus('');
    this.#state('ready');
  }

  #state(name) {
    document.documentElement.dataset.state = name;
  }

  async #openModel(entry) {
    panel.showStatus(`opening ${entry.label} …`);
    const bytes = await entry.read();
    const manifest = await readManifest(bytes, entry.file);
    const pipeline = await this.#compile(bytes, manifest, entry.file);
    if (!this.models.includes(entry))
      this.models = [...this.models.filter(({ file }) => file !== entry.file), entry];
    await this.#use(pipeline, entry);
    panel.showModels(this.models, entry.file);
    panel.showFacts(manifest, bytes.length);
    panel.buildLegend(manifest);
    find('#drop').hidden = true;
    await this.#once();
  }

  /** On the accelerator chosen; where the GPU cannot run it, on WebAssembly, and said so. */
  async #compile(bytes, manifest, name) {
    panel.showNotice('');
    try {
      const pipeline = await Pipeline.open(bytes, manifest, { accelerator: this.accelerator, name });
      panel.showNotice([this.remark, pipeline.engine.notice].filter(Boolean).join(' '));
      this.remark = '';
      return pipeline;
    } catch (error) {
      if (this.accelerator !== 'webgpu') throw error;
      const pipeline = await Pipeline.open(bytes, manifest, { accelerator: 'wasm', name });
      panel.showNotice(`Running on WebAssembly instead. ${describe(error)}`);
      this.accelerator = 'wasm';
      panel.markAccelerator('wasm');
      return pipeline;
    }
  }

  async #use(pipeline, entry) {
    this.pipeline?.delete();
    this.pipeline = pipeline;
    this.entry = entry;
    this.timing.clear();
    pipeline.engine.lost.then((reason) => {
      if (this.pipeline !== pipeline) return;
      this.rows = this.rows.map((row) => (row.id === 'webgpu' ? { ...row, available: false, reason } : row));
      this.#act('', async () => {
        await this.#chooseAccelerator('wasm');
        panel.showAccelerators(this.rows, 'wasm', (id) => this.#act('', () => this.#chooseAccelerator(id)));
        panel.showNotice(
          `The graphics processor stopped (${reason}). Running on WebAssembly; reload to try it again.`,
        );
      });
    });
  }

  async #chooseAccelerator(id) {
    const before = this.accelerator;
    this.accelerator = id;
    if (!this.entry) return;
    try {
      await this.#openModel(this.entry);
    } catch (error) {
      this.accelerator = before;
      panel.markAccelerator(before);
      throw error;
    }
  }

  async #open(source) {
    this.source?.close();
    this.source = source;
    this.timing.clear();
    find('#stop').hidden = !source.live;
    find('#measure').disabled = source.live;
    await this.#once();
    if (source.live) this.#loop(source);
  }

  async #sample(file) {
    const bytes = await fetchBytes(`samples/${encodeURIComponent(file)}`);
    await this.#open(await openImage(new Blob([bytes]), file));
  }

  /** Show the current picture through the current model, if there are both. */
  async #once() {
    if (this.source && this.pipeline) await this.#frame();
  }

  /** In turn with what the user does, so that a model is never deleted under a frame. */
  async #loop(source) {
    while (this.source === source) {
      this.turn = this.turn.then(() => this.#liveFrame(source));
      await this.turn;
    }
  }

  async #liveFrame(source) {
    if (this.source !== source) return;
    try {
      await (this.pipeline ? this.#frame() : nextTurn());
    } catch (error) {
      if (this.source !== source) return; // stopped while it waited for a frame
      this.#stop();
      panel.showError(describe(error));
    }
  }

  async #frame() {
    const { source, pipeline } = this;
    const begun = performance.now();
    const frame = await source.next();
    this.stage.take(frame, source.size);
    const taken = performance.now();
    const times = await pipeline.run(frame);
    const segmented = performance.now();
    this.stage.show(pipeline.mask);
    const drawn = performance.now();
    this.timing.add({ camera: taken - begun, ...times, draw: drawn - segmented });
    if (drawn - this.shownAt > PANEL_EVERY || !source.live) this.#figures(drawn);
  }

  #figures(now) {
    this.shownAt = now;
    panel.showTiming(this.timing.summary());
    panel.showShares(this.pipeline.mask.shares());
    document.documentElement.dataset.frames = String(this.timing.frames.length);
  }

  async #measure() {
    if (!this.source || !this.pipeline) throw new DemoError('Open a model and a picture first.');
    for (let number = 0; number < WARMUP; number++) await this.#frame();
    this.timing.clear();
    for (let number = 0; number < REPEATS; number++) {
      await this.#frame();
      await nextTurn();
    }
  }

  #stop() {
    this.source?.close();
    this.source = null;
    find('#stop').hidden = true;
    find('#measure').disabled = false;
  }

  async #openFile(file) {
    if (file.type.startsWith('image/')) await this.#open(await openImage(file, file.name));
    else if (file.type.startsWith('video/')) await this.#open(await openVideo(file, file.name));
    else await this.#openModel(opened(file));
  }

  #listen() {
    const on = (selector, event, handler) => find(selector).addEventListener(event, handler);
    on('#model', 'change', ({ target }) =>
      this.#act('', () => this.#openModel(this.models.find(({ file }) => file === target.value))),
    );
    on('#camera', 'click', () =>
      this.#act('asking for the camera', async () => this.#open(await openCamera())),
    );
    on('#stop', 'click', () => this.#stop());
    on('#measure', 'click', () => this.#act(`measuring ${REPEATS} runs`, () => this.#measure()));
    on('#opacity', 'input', ({ target }) => (this.stage.opacity = target.value / 100));
    this.stage.opacity = find('#opacity').value / 100;
    on('#dismiss', 'click', () => panel.showError(''));
    for (const chooser of document.querySelectorAll('input[type=file]')) {
      chooser.addEventListener('change', () => {
        const [file] = chooser.files;
        chooser.value = ''; // so that the same file can be chosen again
        if (file) this.#act(`opening ${file.name}`, () => this.#openFile(file));
      });
    }
    this.#listenToDrops();
    this.#listenToPointer();
  }

  #listenToDrops() {
    const { body } = document;
    body.addEventListener('dragover', (event) => {
      event.preventDefault();
      body.classList.add('dragging');
    });
    body.addEventListener('dragleave', ({ relatedTarget }) => {
      if (!relatedTarget) body.classList.remove('dragging');
    });
    body.addEventListener('drop', (event) => {
      event.preventDefault();
      body.classList.remove('dragging');
      const [file] = event.dataTransfer.files;
      if (file) this.#act(`opening ${file.name}`, () => this.#openFile(file));
    });
  }

  #listenToPointer() {
    const tip = find('#tip');
    find('#stage').addEventListener('pointermove', (event) => {
      const place = this.pipeline && this.source ? this.stage.placeOf(event, this.pipeline.mask) : null;
      const label = place === null ? undefined : this.pipeline.mask.labels[place];
      tip.textContent = this.pipeline?.manifest.classes[label] ?? '';
      tip.hidden = !tip.textContent;
    });
    find('#stage').addEventListener('pointerleave', () => (tip.hidden = true));
  }
}

const nextTurn = () => new Promise((resolve) => requestAnimationFrame(resolve));

await new App().start();
