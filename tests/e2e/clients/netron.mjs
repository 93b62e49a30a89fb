import { promises as files } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// netron.mjs FOLDER_OF_NETRON MODEL: what Netron makes of a file, or of a folder as its browser page is given one.
const [folder, model] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(folder, `${name.replace('./', '')}.js`)).href);
const { ModelFactoryService } = await load('view');
const { BinaryStream } = await load('base');
const asset = (name) => files.readFile(path.join(folder, name), 'utf-8');
const host = {
    type: 'Test', require: load, asset, event() {}, exception(error) { throw error; },
};
const stat = await files.stat(model);
const root = stat.isDirectory() ? model : path.dirname(model);
const names = stat.isDirectory() ? await files.readdir(model, { recursive: true }) : [];
const open = async (name) => new BinaryStream(await files.readFile(path.join(root, name)));
const entries = new Map();
for (const name of names) {
    if ((await files.stat(path.join(root, name))).isFile()) entries.set(name, await open(name));
}
const context = {
    identifier: path.basename(model),
    stream: stat.isDirectory() ? null : await open(path.basename(model)),
    entries,
    async request(name, encoding) {
        return encoding ? files.readFile(path.join(root, name), encoding) : open(name);
    },
    require: load,
    asset,
    error(error) { throw error; },
};
const found = await new ModelFactoryService(host).open(context);
const graph = (found.modules || found.graphs)[0];
const shown = (values) => values.map((one) => [one.name, String(one.value[0].type)]);
console.log(JSON.stringify({
    format: found.format,
    inputs: shown(graph.inputs),
    outputs: shown(graph.outputs),
    kinds: graph.nodes.map((node) => node.type.name),
}));
